// Ends a block that runs for too long, so that an endless loop becomes an error that says where it is.
//
// Every OS thread that runs kernels has a timer over its own processor time: a debugger that holds the
// thread, or other programs on its core, do not count. The timer ticks a few times per limit, and its signal
// handler looks whether the same block is still running; blocks and launches pay nothing. A block whose time
// is up ends at its next barrier, warp operation or checked access. One that does none of these ends where it
// stands.
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

  /// Called by the thread itself, before its blocks; 0: no limit. DeviceError if the system has no timer
  /// left.
  void set_limit(double seconds);
  timer_t handle() const { return timer_; }

 private:
  double limit_ = 0;
  bool made_ = false;
  timer_t timer_{};
};

}  // namespace fer::simt::detail
