#include "training/thread_governor.h"

#include <omp.h>

#include <algorithm>
#include <atomic>

#include "fer/tensor/device_runtime.h"

namespace fer {
namespace {

constexpr double kShortestPause = 0.1, kLongestPause = 16;  // seconds

void start_and_join() {
#pragma omp parallel
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace

ThreadGovernor::ThreadGovernor(int most, Crowded crowded)
    : levels_{std::max(1, most)}, crowded_(std::move(crowded)) {
  for (const int level : {most - 1, most / 2, 1})
    if (level >= 1 && level < levels_.back()) levels_.push_back(level);
}

bool ThreadGovernor::threads_crowded(int threads) {
  using Clock = std::chrono::steady_clock;
  constexpr int most_slow = 5;  // of nine
  constexpr std::chrono::microseconds slow(200);
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  start_and_join();  // may have to create the threads
  int slow_ones = 0, quick_ones = 0;
  while (slow_ones < most_slow && quick_ones < most_slow) {
    const Clock::time_point start = Clock::now();
    start_and_join();
    ++(Clock::now() - start > slow ? slow_ones : quick_ones);
  }
  omp_set_num_threads(before);
  return slow_ones == most_slow;
}

void ThreadGovernor::look(double now) {
  const std::size_t before = level_;
  while (level_ + 1 < levels_.size() && crowded_(levels_[level_])) ++level_;
  if (level_ != before) {
    // If the level was given up again soon after it was raised, wait longer before the next try.
    pause_ = now - changed_ < pause_ ? std::min(2 * pause_, kLongestPause) : kShortestPause;
    changed_ = now;
    return;
  }
  if (level_ == 0 || now - changed_ < pause_) return;
  changed_ = now;
  for (std::size_t higher = 0; higher < level_; ++higher) {
    if (crowded_(levels_[higher])) continue;
    level_ = higher;
    return;
  }
  pause_ = std::min(2 * pause_, kLongestPause);
}

StepThreads::StepThreads(Device device)
    : governed_(computes_on_host(device)), most_(omp_get_max_threads()), governor_(most_) {}

StepThreads::~StepThreads() {
  omp_set_num_threads(most_);
}

void StepThreads::before_step() {
  if (!governed_) return;
  const std::chrono::duration<double> now = std::chrono::steady_clock::now() - start_;
  governor_.look(now.count());
  omp_set_num_threads(governor_.threads());
}

}  // namespace fer
