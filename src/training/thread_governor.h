// Chooses the number of threads of a training step on a machine that others use too.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "fer/tensor/device.h"

namespace fer {

/// Gives up threads that other programs need. After every operation all threads of a step wait for the
/// slowest one. If another program keeps one of two cores busy, both threads can end up on the other core,
/// each spinning while the other could work: tens of times slower than one thread alone. The results of a
/// step do not depend on the number of threads.
class ThreadGovernor {
 public:
  /// Whether this many threads get in each other's way at the moment.
  using Crowded = std::function<bool(int threads)>;

  /// most: the number of threads on a quiet machine, at least 1.
  explicit ThreadGovernor(int most, Crowded crowded = threads_crowded);

  int threads() const { return levels_[level_]; }
  /// Call before each step, at `now` seconds of any clock. Gives up threads at once if they are crowded.
  /// Checks after 0.1 to 16 seconds whether there is room for more; the wait doubles after each failed try.
  void look(double now);

  /// Starts and joins this many threads nine times. Crowded if most of these took over 0.2 ms; some
  /// microseconds are usual. Leaves OpenMP's number of threads unchanged.
  static bool threads_crowded(int threads);

 private:
  std::vector<int> levels_;  // thread counts to choose from, descending
  std::size_t level_ = 0;
  double changed_ = 0;  // when the level last changed, or a higher one was tried
  double pause_ = 0.1;  // seconds from then to the next try
  Crowded crowded_;
};

/// Lets a governor set OpenMP's threads during a loop, on devices whose kernels use them, and restores them
/// at the end. Loops may be nested: an inner loop uses the threads that the outer one left.
class StepThreads {
 public:
  explicit StepThreads(Device device);
  ~StepThreads();
  StepThreads(const StepThreads&) = delete;
  StepThreads& operator=(const StepThreads&) = delete;

  void before_step();

 private:
  bool governed_;
  int most_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  ThreadGovernor governor_;
};

}  // namespace fer
