#include "training/thread_governor.h"

#include <algorithm>

namespace fer {
namespace {

constexpr double kWindow = 0.25;      // seconds
constexpr double kGain = 0.95;        // a trial is kept if it takes less than this of the time
constexpr double kDisturbed = 1.25;   // times the fastest step: something keeps the processor busy
constexpr double kFirstPause = 3;     // seconds after a trial that was kept
constexpr double kLongestPause = 12;  // each trial in vain doubles the pause, up to this
constexpr double kQuietPause = 60;    // where nothing seems to disturb

}  // namespace

ThreadGovernor::ThreadGovernor(int most)
    : levels_{std::max(1, most)}, since_trial_(kQuietPause), pause_(kFirstPause) {
  for (const int level : {most - 1, most / 2, 1})
    if (level >= 1 && level < levels_.back()) levels_.push_back(level);
}

bool ThreadGovernor::disturbed() const {
  return chosen_ != 0 || current_ > kDisturbed * fastest_;
}

void ThreadGovernor::step(double seconds) {
  if (levels_.size() == 1) return;
  since_trial_ += seconds;
  if (settling_) {  // threads have just been started or ended, or the model's memory laid out
    settling_ = false;
    return;
  }
  seconds_ += seconds;
  ++steps_;
  if (seconds_ >= kWindow) end_window(seconds_ / steps_);
}

void ThreadGovernor::end_window(double seconds_per_step) {
  const std::size_t level = trial_ ? candidate_ : chosen_;
  if (level == 0 && (fastest_ == 0 || seconds_per_step < fastest_)) fastest_ = seconds_per_step;
  const int before = threads();
  if (trial_) {
    if (seconds_per_step < kGain * current_) {
      chosen_ = candidate_;
      current_ = seconds_per_step;
      pause_ = kFirstPause;
    } else {
      pause_ = std::min(2 * pause_, kLongestPause);
    }
    trial_ = false;
    since_trial_ = 0;
  } else {
    current_ = seconds_per_step;
    if (since_trial_ >= (disturbed() ? pause_ : kQuietPause)) {
      trial_ = true;
      do candidate_ = (candidate_ + 1) % levels_.size();
      while (candidate_ == chosen_);
    }
  }
  settling_ = threads() != before;
  steps_ = 0;
  seconds_ = 0;
}

}  // namespace fer
