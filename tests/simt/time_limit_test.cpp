// Kernels that never end, and kernels that are only long. The limit here is a fraction of a second.
#include <chrono>
#include <cmath>

#include "tests/simt/planted.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {
using test::Array;
using test::message_of;
using test::must_catch;
using test::must_pass;

OptionsScope limited_to(double seconds) {
  Options o = options();
  o.time_limit = seconds;
  return OptionsScope(o);
}

__global__ void spins_on_a_write(volatile int* flag) {
  if (threadIdx.x == 0) {
    while (*flag == 0) {
    }
  } else {
    *flag = 1;
  }
}
__global__ void writes_before_a_barrier(volatile int* flag) {
  if (threadIdx.x != 0) *flag = 1;
  __syncthreads();
  while (*flag == 0) {
  }
}

TEST_CASE("a thread that waits for another thread's write without a barrier never sees it") {
  const OptionsScope scope = limited_to(0.1);
  Array<int> flag(std::vector<int>{0});
  const auto spin = [&] {
    const int zero = 0;
    gpu::memcpy_async(flag.data(), &zero, sizeof(zero), gpu::CopyKind::host_to_device, nullptr);
    gpu::launch(spins_on_a_write, 1, 64, 0, nullptr, flag.data());
  };
  Options forward = options();
  forward.order = LaneOrder::forward;
  const OptionsScope order(forward);
  const std::string message = message_of(spin);
  CHECK(test::lasting(message).find(
            "[simt] spins_on_a_write launched at time_limit_test.cpp, block (0,0,0): thread (0,0,0) is still "
            "running "
            "after 0.1 s of processor time: an endless loop, or one that waits for a thread which cannot run "
            "meanwhile; if the kernel is right and only slow, raise FER_SIMT_TIME_LIMIT, the seconds that a "
            "block may "
            "take (0: no limit) 63 threads have not begun") == 0);
  CHECK_MESSAGE(test::documented_reports().find(test::lasting(message)) != std::string::npos,
                "docs/kernels/planted.md does not show: ", test::lasting(message));
  must_pass([&] { gpu::launch(writes_before_a_barrier, 1, 64, 0, nullptr, flag.data()); });
}

__global__ void last_thread_spins(volatile int* flag) {
  if (threadIdx.x == 63) {
    while (*flag == 0) {
    }
  }
  __syncthreads();
}

TEST_CASE("the report names the threads that wait meanwhile") {
  Options o = options();
  o.time_limit = 0.1;
  o.order = LaneOrder::forward;
  const OptionsScope scope(o);
  Array<int> flag(std::vector<int>{0});
  const std::string message =
      message_of([&] { gpu::launch(last_thread_spins, 1, 64, 0, nullptr, flag.data()); });
  CAPTURE(message);
  CHECK(message.find("block (0,0,0): thread (63,0,0) is still running after 0.1 s") != std::string::npos);
  CHECK(message.find("\n  63 threads wait at __syncthreads (time_limit_test.cpp:") != std::string::npos);
  CHECK(message.ends_with("), thread (0,0,0) the first"));
}

__global__ void barrier_for_ever(int* rounds, bool wrong) {
  for (int i = 0; wrong || i < 10; ++i) {
    __syncthreads();
    if (threadIdx.x == 0) rounds[0] = i;
  }
}

TEST_CASE("a loop of barriers that never ends") {
  const OptionsScope scope = limited_to(0.1);
  Array<int> rounds(1);
  must_catch({"barrier_for_ever", "is still running after 0.1 s", "(time_limit_test.cpp:"},
             [&] { gpu::launch(barrier_for_ever, 1, 1, 0, nullptr, rounds.data(), true); });
  must_pass([&] { gpu::launch(barrier_for_ever, 1, 64, 0, nullptr, rounds.data(), false); });
}

__global__ void shuffle_for_ever(int* y) {
  int value = static_cast<int>(threadIdx.x);
  do value = __shfl_xor_sync(full_warp, value, 1);
  while (value >= 0);
  y[threadIdx.x] = value;
}

TEST_CASE("a loop of shuffles that never ends") {
  const OptionsScope scope = limited_to(0.1);
  Array<int> y(64);
  const std::string message = message_of([&] { gpu::launch(shuffle_for_ever, 1, 64, 0, nullptr, y.data()); });
  CAPTURE(message);
  CHECK(message.find("shuffle_for_ever launched at time_limit_test.cpp:") != std::string::npos);
  CHECK(message.find("(time_limit_test.cpp:") != std::string::npos);
}

__global__ void computes_for_ever(float* y) {
  float value = 1;
  while (value > 0) value = gpu::exp(-value);
  y[threadIdx.x] = value;
}

TEST_CASE("a loop that spends its time in a function of the C library") {
  const OptionsScope scope = limited_to(0.1);
  Array<float> y(32);
  const std::string message =
      message_of([&] { gpu::launch(computes_for_ever, 3, 32, 0, nullptr, y.data()); });
  CAPTURE(message);
  CHECK(message.find("computes_for_ever launched at time_limit_test.cpp:") != std::string::npos);
  CHECK(message.find("is still running after 0.1 s of processor time (") != std::string::npos);
}

__global__ void busy(float* y, int rounds) {
  float value = 1;
  for (int i = 0; i < rounds; ++i) value = value * 0.5f + 1;
  y[blockIdx.x] = value;
}

TEST_CASE("a launch of many short blocks may take longer than the limit, and no limit is none") {
  Array<float> y(400);
  const auto seconds_of = [&](int blocks, int rounds) {
    const auto start = std::chrono::steady_clock::now();
    gpu::launch(busy, blocks, 1, 0, nullptr, y.data(), rounds);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  int rounds = 1 << 20;
  {
    const OptionsScope scope = limited_to(0);
    while (seconds_of(1, rounds) < 0.002) rounds *= 2;
  }
  Options one_thread = options();
  one_thread.threads = 1;
  one_thread.time_limit = 0.2;
  const OptionsScope scope(one_thread);
  double seconds = 0;
  CHECK(message_of([&] { seconds = seconds_of(400, rounds); }) == "");
  CHECK(seconds > 0.4);
}

TEST_CASE("after a kernel that was ended the executor goes on working, on every thread") {
  const OptionsScope scope = limited_to(0.1);
  Array<float> y(400);
  for (int i = 0; i < 3; ++i) {
    CHECK(message_of([&] { gpu::launch(computes_for_ever, 400, 32, 0, nullptr, y.data()); }) != "");
    CHECK(message_of([&] { gpu::launch(busy, 400, 1, 0, nullptr, y.data(), 10); }) == "");
    CHECK(y.host()[399] == doctest::Approx(2).epsilon(0.01));
  }
}

TEST_CASE("FER_SIMT_TIME_LIMIT sets the limit") {
  CHECK(Options().time_limit == 60);
  ::setenv("FER_SIMT_TIME_LIMIT", "2.5", 1);
  CHECK(options_from_environment().time_limit == 2.5);
  ::setenv("FER_SIMT_TIME_LIMIT", "-1", 1);
  CHECK_THROWS_WITH_AS(options_from_environment(),
                       "FER_SIMT_TIME_LIMIT is '-1'; it must be a number of seconds, 0 (no limit) to 1000000",
                       ConfigError);
  ::setenv("FER_SIMT_TIME_LIMIT", "nan", 1);
  CHECK_THROWS_AS(options_from_environment(), ConfigError);
  ::unsetenv("FER_SIMT_TIME_LIMIT");
}

}  // namespace
}  // namespace fer::FER_DEVICE_NAMESPACE
