// How many threads a training step takes on a machine that others use too.
#pragma once

#include <vector>

namespace fer {

/// Watches how long steps take, and tries from time to time whether fewer threads are faster. All of a loop's
/// threads wait for its slowest one: where another program keeps a single core busy, two threads can take
/// several times as long as one. What a step computes does not depend on the number of threads.
///
/// Steps are timed in windows of a quarter of a second. A trial is one window with another number of threads,
/// and is kept if its steps took less time by a twentieth. There is one soon after the start, then every
/// three to twelve seconds while steps take a quarter longer than the fastest with all threads or not all
/// threads are in use, and every minute otherwise.
class ThreadGovernor {
 public:
  /// most: the threads of a quiet machine, at least 1.
  explicit ThreadGovernor(int most);

  /// For the next step.
  int threads() const { return trial_ ? levels_[candidate_] : levels_[chosen_]; }
  /// The last step took so many seconds, with what it waited for.
  void step(double seconds);

 private:
  void end_window(double seconds_per_step);
  bool disturbed() const;

  std::vector<int> levels_;    // numbers of threads to choose from, falling
  std::size_t chosen_ = 0;     // the level in use
  std::size_t candidate_ = 0;  // the one that was tried last
  bool trial_ = false;         // whether this window is a trial
  bool settling_ = true;       // whether the next step, the first of its window, is not counted
  int steps_ = 0;              // of this window
  double seconds_ = 0;         // of this window
  double since_trial_;         // seconds
  double pause_;               // seconds to the next trial while something disturbs
  double current_ = 0;         // seconds a step of the last window at the chosen level
  double fastest_ = 0;         // of all windows with all threads; 0 when there was none
};

}  // namespace fer
