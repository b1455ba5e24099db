// How many threads a training step takes on a machine that others use too.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "fer/tensor/device.h"

namespace fer {

/// Gives up threads that others need. All threads of a step wait for the slowest one after every operation;
/// where another program keeps one of two cores busy, both can end up on the other core, each spinning away
/// the time in which the other could work: tens of times slower than one thread alone. What a step computes
/// does not depend on the number of threads.
class ThreadGovernor {
 public:
  /// Whether so many threads get in each other's way just now.
  using Crowded = std::function<bool(int threads)>;

  /// most: the threads of a quiet machine, at least 1.
  explicit ThreadGovernor(int most, Crowded crowded = threads_crowded);

  int threads() const { return levels_[level_]; }
  /// Before each step, at `now` seconds of any clock: gives up threads at once where they are crowded, and
  /// looks again after 0.1 to 16 seconds, twice as long each time in vain, whether there is room for more.
  void look(double now);

  /// Starts and joins so many threads nine times: crowded if most of these took over 0.2 ms, where some
  /// microseconds are usual. Leaves OpenMP's number of threads as it was.
  static bool threads_crowded(int threads);

 private:
  std::vector<int> levels_;  // numbers of threads to choose from, falling
  std::size_t level_ = 0;
  double changed_ = 0;  // when the level was changed last, or a higher one tried
  double pause_ = 0.1;  // from then to the next try
  Crowded crowded_;
};

/// Lets a governor set OpenMP's threads for a loop, on devices whose kernels they run; gives them back at the
/// end. Loops may be nested: an inner one has what the outer one has left.
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
