// Ends a block that runs for too long, so that an endless loop becomes an error that names its line.
//
// Every OS thread that runs kernels has a timer over its own processor time, so time in a debugger or in
// other programs on its core does not count. The timer ticks a few times per limit, and its signal handler
// checks whether the same block is still running; blocks and launches have no overhead. A block that is out
// of time ends at its next barrier, warp operation or checked access. If it does none of these, it ends where
// it is.
#pragma once

#include <ctime>

namespace fer::simt::detail {

/// The timer of one OS thread.
class BlockTimer {
 public:
  BlockTimer() = default;
  ~BlockTimer();
  BlockTimer(const BlockTimer&) = delete;
  BlockTimer& operator=(const BlockTimer&) = delete;

  /// Called by the thread itself, before its blocks. 0: no limit. Throws DeviceError if the system has no
  /// timer left.
  void set_limit(double seconds);
  timer_t handle() const { return timer_; }

 private:
  double limit_ = 0;
  bool made_ = false;
  timer_t timer_{};
};

}  // namespace fer::simt::detail
