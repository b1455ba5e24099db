// The thread governor: on simulated machines, whose free cores come and go, and on this one.
#include "training/thread_governor.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace fer {
namespace {

/// A machine on which this many threads each find a free core.
struct Machine {
  int room;
  int looks = 0;
  ThreadGovernor governor(int most) {
    return ThreadGovernor(most, [this](int threads) {
      ++looks;
      return threads > room;
    });
  }
};

/// Steps of 0.1 seconds from one time to another.
void run(ThreadGovernor& governor, double from, double to) {
  for (double now = from; now < to; now += 0.1) governor.look(now);
}

TEST_CASE("thread governor: threads are given up at once, and taken back when there is room") {
  Machine machine{2};
  ThreadGovernor governor = machine.governor(2);
  run(governor, 0, 10);
  CHECK(governor.threads() == 2);
  machine.room = 1;
  governor.look(10);
  CHECK(governor.threads() == 1);
  run(governor, 10, 20);
  CHECK(governor.threads() == 1);
  machine.room = 2;
  run(governor, 20, 37);
  CHECK(governor.threads() == 2);
}

TEST_CASE("thread governor: on a machine that stays crowded it looks less and less often") {
  Machine machine{1};
  ThreadGovernor governor = machine.governor(2);
  run(governor, 0, 1000);
  CHECK(governor.threads() == 1);
  CHECK(machine.looks >= 1000 / 16);
  CHECK(machine.looks <= 1000 / 16 + 10);
}

TEST_CASE("thread governor: cores that are free only now and then do not make it switch every second") {
  Machine machine{1};
  ThreadGovernor governor = machine.governor(2);
  int changes = 0, before = 2;
  for (int step = 0; step < 6000; ++step) {
    machine.room = governor.threads() == 1 ? 2 : 1;  // each time it takes a second thread there is no room
    governor.look(step * 0.1);
    changes += governor.threads() != before;
    before = governor.threads();
  }
  CHECK(changes <= 2 * (600 / 16 + 10));
}

TEST_CASE("thread governor: it gives up only as many threads as it must") {
  Machine machine{7};
  ThreadGovernor governor = machine.governor(8);
  governor.look(0);
  CHECK(governor.threads() == 7);
  machine.room = 5;
  governor.look(0.1);
  CHECK(governor.threads() == 4);
  machine.room = 2;
  governor.look(0.2);
  CHECK(governor.threads() == 1);
  machine.room = 8;
  run(governor, 0.3, 20);
  CHECK(governor.threads() == 8);
}

TEST_CASE("thread governor: a single thread leaves no choice") {
  Machine machine{0};
  ThreadGovernor governor = machine.governor(1);
  run(governor, 0, 100);
  CHECK(governor.threads() == 1);
  CHECK(machine.looks == 0);
}

TEST_CASE("thread governor: threads without a core to run on are found crowded on this machine") {
  const int cores = omp_get_num_procs(), threads = omp_get_max_threads();
  if (const char* policy = std::getenv("OMP_WAIT_POLICY"); policy && std::string_view(policy) == "passive") {
    MESSAGE(
        "skipped: threads that sleep while they wait are in nobody's way; training_threads runs it without");
    return;
  }
  if (cores > 64) {
    MESSAGE("skipped: too many cores to keep them all busy");
    return;
  }
  std::atomic<bool> done = false;
  std::vector<std::thread> busy;  // four on every core: each thread of a team waits for its turn
  busy.reserve(static_cast<std::size_t>(4 * cores));
  for (int i = 0; i < 4 * cores; ++i)
    busy.emplace_back([&done] {
      while (!done.load(std::memory_order_relaxed)) {
      }
    });
  ThreadGovernor governor(std::max(2, cores));
  for (int step = 0; step < 1000 && governor.threads() > 1; ++step) {
    governor.look(
        0);  // a moment at which all threads happen to run shows no crowd; sooner or later there is none
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(governor.threads() == 1);
  CHECK(omp_get_max_threads() == threads);
  done = true;
  for (std::thread& thread : busy) thread.join();
}

}  // namespace
}  // namespace fer
