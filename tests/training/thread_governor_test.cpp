// The governor of threads on simulated machines: what it settles on, how soon, and what its trials cost.
#include "training/thread_governor.h"

#include <doctest/doctest.h>

#include <functional>

namespace fer {
namespace {

/// Seconds of a step with so many threads.
using Machine = std::function<double(int threads)>;

/// Runs steps for so many simulated seconds; returns how many there were.
int run(ThreadGovernor& governor, double seconds, const Machine& machine) {
  int steps = 0;
  for (double now = 0; now < seconds; ++steps) {
    const double step = machine(governor.threads());
    governor.step(step);
    now += step;
  }
  return steps;
}

double quiet(int threads) {
  return 0.4 / threads;
}
/// One core is taken: as many threads as cores wait for each other, fewer do not.
double crowded_with_four(int threads) {
  return threads == 4 ? 0.8 : 0.4 / threads;
}
double crowded_with_two(int threads) {
  return threads == 2 ? 0.9 : 0.4;
}

TEST_CASE("thread governor: a quiet machine keeps all threads, and its trials cost a hundredth at most") {
  ThreadGovernor governor(2);
  CHECK(governor.threads() == 2);
  const int steps = run(governor, 600, quiet);
  CHECK(steps >= 0.99 * 600 / quiet(2));
  CHECK(steps < 600 / quiet(2));  // it has tried
}

TEST_CASE("thread governor: fewer threads where they are faster, all again when the machine is quiet") {
  ThreadGovernor governor(2);
  run(governor, 10, quiet);
  run(governor, 20, crowded_with_two);
  const int crowded = run(governor, 60, crowded_with_two);
  CHECK(crowded >= 0.8 * 60 / crowded_with_two(1));  // of the steps that one thread alone would have made
  run(governor, 10, quiet);
  const int again = run(governor, 60, quiet);
  CHECK(again >= 0.99 * 60 / quiet(2));
}

TEST_CASE("thread governor: a machine that is crowded from the start") {
  ThreadGovernor governor(2);
  run(governor, 4, crowded_with_two);
  CHECK(governor.threads() == 1);
}

TEST_CASE("thread governor: of many threads it gives up no more than it must") {
  ThreadGovernor governor(4);
  run(governor, 30, crowded_with_four);
  const int steps = run(governor, 60, crowded_with_four);
  CHECK(steps >= 0.8 * 60 / crowded_with_four(3));
}

TEST_CASE("thread governor: a single thread leaves nothing to choose") {
  ThreadGovernor governor(1);
  run(governor, 100, [](int threads) { return threads == 1 ? 0.1 : 1e9; });
  CHECK(governor.threads() == 1);
}

}  // namespace
}  // namespace fer
