// Misuse of memory that is caught without instrumentation: host pointers, red zones, launch sizes, poison,
// cp.async; and the runtime's copies.
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tests/simt/planted.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {
using test::Array;
using test::counting;
using test::must_catch;
using test::must_pass;

__global__ void fill_one(float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = 1;
}

// --- pointers ------------------------------------------------------------------------------------------

struct Views {
  float* y;
  const float* x;
};
__global__ void through_structure(Views v, int offset) {
  v.y[threadIdx.x] = v.x[threadIdx.x + static_cast<unsigned>(offset)];
}

TEST_CASE("a kernel's pointers must be device memory") {
  std::vector<float> host(32);
  must_catch({"launch of fill_one at memory_test.cpp:", "argument 0 points to host memory", "gpu::malloc"},
             [&] { gpu::launch(fill_one, 1, 32, 0, nullptr, host.data(), 32); });
  const Array<float> y(32), x(std::vector<float>(32, 1.0f));
  float* freed = static_cast<float*>(gpu::malloc(128));
  gpu::free(freed);
  must_catch({"argument 0 points to device memory that is not allocated"},
             [&] { gpu::launch(fill_one, 1, 32, 0, nullptr, freed, 32); });
  must_catch({"through_structure", "argument 0 points to device memory that is not allocated"}, [&] {
    gpu::launch(through_structure, 1, 32, 0, nullptr, Views{y.data(), freed}, 0);
  });
  must_pass([&] { gpu::launch(through_structure, 1, 32, 0, nullptr, Views{y.data(), x.data()}, 0); });
  must_pass([&] { gpu::launch(fill_one, 1, 32, 0, nullptr, y.data(), 32); });
  must_pass([&] { gpu::launch(fill_one, 1, 32, 0, nullptr, static_cast<float*>(nullptr), 0); });
  CHECK(is_device_pointer(y.data() + 3));
  CHECK_FALSE(is_device_pointer(host.data()));
}

// --- launch sizes --------------------------------------------------------------------------------------

__global__ void nothing() {}
__global__ void large_static_array(float* y) {
  FER_SHARED(float, first, [8192]);
  FER_SHARED(float, second, [5000]);
  first[threadIdx.x] = second[threadIdx.x] = 1;
  y[threadIdx.x] = first[threadIdx.x];
}

TEST_CASE("launch sizes that a GPU refuses are refused") {
  must_catch({"a block of 1025 x 1 x 1 threads; a GPU allows 1024"},
             [] { gpu::launch(nothing, 1, 1025, 0, nullptr); });
  must_catch({"a block of 1 x 1 x 65 threads", "64 along z"},
             [] { gpu::launch(nothing, 1, dim3(1, 1, 65), 0, nullptr); });
  must_catch({"a grid of 1 x 65536 x 1 blocks"},
             [] { gpu::launch(nothing, dim3(1, 65536), 32, 0, nullptr); });
  must_catch({"the grid, 0 x 1 x 1 blocks, is empty"}, [] { gpu::launch(nothing, 0, 32, 0, nullptr); });
  must_catch({"a grid of -3 blocks", "memory_test.cpp:"}, [] { gpu::launch(nothing, -3, 32, 0, nullptr); });
  must_catch({"the block, 0 x 1 x 1 threads, is empty"}, [] { gpu::launch(nothing, 1, 0, 0, nullptr); });
  must_catch({"shared memory for nothing at memory_test.cpp:",
              "232449 bytes of dynamic shared memory; a block may have 232448"},
             [] { gpu::launch(nothing, 1, 32, 232449, nullptr); });
  must_pass([] { gpu::launch(nothing, 3, dim3(16, 1, 64), 232448, nullptr); });
  Array<float> y(32);
  must_catch({"FER_SHARED second brings the static shared memory to 52768 bytes", "FER_DYNAMIC_SHARED"},
             [&] { gpu::launch(large_static_array, 1, 32, 0, nullptr, y.data()); });
}

__global__ void asks_for_none(float* y) {
  FER_DYNAMIC_SHARED(float, buffer);
  buffer[threadIdx.x] = 1;
  y[threadIdx.x] = buffer[threadIdx.x];
}
__global__ void asks(float* y) {
  FER_DYNAMIC_SHARED(float, buffer);
  buffer[threadIdx.x] = 1;
  y[threadIdx.x] = buffer[threadIdx.x];
}

TEST_CASE("more than 48 KiB of dynamic shared memory needs an opt-in") {
  Array<float> y(32);
  must_catch({"launch of asks_for_none", "49153 bytes of dynamic shared memory",
              "gpu::allow_dynamic_shared must ask for more than 49152"},
             [&] { gpu::launch_as_is(asks_for_none, 1, 32, 49153, nullptr, y.data()); });
  must_pass([&] { gpu::launch_as_is(asks_for_none, 1, 32, 49152, nullptr, y.data()); });
  gpu::allow_dynamic_shared(asks, 50000);
  must_pass([&] { gpu::launch_as_is(asks, 1, 32, 50000, nullptr, y.data()); });
  must_catch(
      {"launch of asks", "50001 bytes of dynamic shared memory; gpu::allow_dynamic_shared asked for 50000"},
      [&] { gpu::launch_as_is(asks, 1, 32, 50001, nullptr, y.data()); });
  must_pass([&] { gpu::launch(asks, 1, 32, 50001, nullptr, y.data()); });  // asks by itself
  // A kernel may request less than the default.
  gpu::allow_dynamic_shared(asks, 0);
  CHECK(test::message_of([&] {
          gpu::launch(asks, 1, 32, 128, nullptr, y.data());
        }).find("128 bytes of dynamic shared memory; gpu::allow_dynamic_shared asked for 0") !=
        std::string::npos);
}

TEST_CASE("a captured launch keeps its kernel's opt-in") {
  Array<float> y(std::vector<float>(32, 0.0f));
  const gpu::Stream stream = gpu::stream_create();
  gpu::capture_begin(stream);
  gpu::launch(asks, 1, 32, 60000, stream, y.data());
  std::size_t operations = 0;
  const gpu::Graph graph = gpu::capture_end(stream, operations);
  gpu::allow_dynamic_shared(asks, 50000);
  gpu::graph_launch(graph, stream);
  CHECK(y.host() == std::vector<float>(32, 1.0f));
  gpu::graph_destroy(graph);
  gpu::stream_destroy(stream);
}

__global__ void small_parts(float* y) {
  FER_SHARED(float, part, [1024]);
  part[threadIdx.x] = 1;
  y[threadIdx.x] = part[threadIdx.x];
}
__global__ void small_parts_that_ask(float* y) {
  FER_SHARED(float, part, [1024]);
  part[threadIdx.x] = 1;
  y[threadIdx.x] = part[threadIdx.x];
}

TEST_CASE("static arrays that bring the shared memory above 48 KiB need an opt-in") {
  constexpr std::size_t dynamic = 48 * 1024 - 4096;
  Array<float> y(32);
  must_catch({"FER_SHARED part brings the block's shared memory to 49153 bytes, more than the 49152",
              "unless gpu::allow_dynamic_shared asks for more"},
             [&] { gpu::launch(small_parts, 1, 32, dynamic + 1, nullptr, y.data()); });
  must_pass([&] { gpu::launch(small_parts, 1, 32, dynamic, nullptr, y.data()); });
  gpu::allow_dynamic_shared(small_parts_that_ask, dynamic + 1);
  must_pass([&] { gpu::launch(small_parts_that_ask, 1, 32, dynamic + 1, nullptr, y.data()); });
}

__global__ void dynamic_and_static(float* y) {
  FER_SHARED(float, part, [1024]);
  part[threadIdx.x] = 1;
  y[threadIdx.x] = part[threadIdx.x];
}

TEST_CASE("static and dynamic shared memory count together") {
  Array<float> y(32);
  must_catch({"FER_SHARED part brings the block's shared memory to 232449 bytes", "use smaller tiles"},
             [&] { gpu::launch(dynamic_and_static, 1, 32, 232448 - 4095, nullptr, y.data()); });
  must_pass([&] { gpu::launch(dynamic_and_static, 1, 32, 232448 - 4096, nullptr, y.data()); });
  // The requested size counts, not how much of it a launch uses.
  gpu::allow_dynamic_shared(dynamic_and_static, 232448 - 4095);
  CHECK(test::message_of([&] {
          gpu::launch(dynamic_and_static, 1, 32, 0, nullptr, y.data());
        }).find("brings the block's shared memory to 232449 bytes") != std::string::npos);
}

// --- arguments -----------------------------------------------------------------------------------------

struct Most {
  double values[511];
};
__global__ void most_arguments(Most most, double* y) {
  y[threadIdx.x] = most.values[510];
}

TEST_CASE("a kernel may have 4 KiB of arguments, counted with what aligns them") {
  CHECK(launch_limits::argument_bytes<>() == 0);
  CHECK(launch_limits::argument_bytes<char, char>() == 2);
  CHECK(launch_limits::argument_bytes<char, double, char>() == 17);
  CHECK(launch_limits::argument_bytes<Most, double*>() == launch_limits::arguments);
  CHECK(launch_limits::argument_bytes<char, Most, char>() == launch_limits::arguments + 1);
  Most most{};
  most.values[510] = 3;
  Array<double> y(32);
  must_pass([&] { gpu::launch(most_arguments, 1, 32, 0, nullptr, most, y.data()); });
  CHECK(y.host() == std::vector<double>(32, 3.0));
}

// --- red zones and poison ------------------------------------------------------------------------------

#if !defined(__SANITIZE_ADDRESS__)  // there the sanitizer reports, and ends the program
__global__ void shared_bounds(float* y, int offset) {
  FER_SHARED(float, tile, [32]);
  float* p = tile;
  p[static_cast<int>(threadIdx.x) + offset] = 1;
  __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void dynamic_bounds(float* y, int offset) {
  FER_DYNAMIC_SHARED(float, buffer);
  buffer[static_cast<int>(threadIdx.x) + offset] = 1;
  __syncthreads();
  y[threadIdx.x] = 1;
}

TEST_CASE("a write into a red zone is found") {
  Array<float> y(32);
  must_catch({"shared_bounds", "wrote out of bounds: shared array 'tile' + 128 bytes (it has 128)"},
             [&] { gpu::launch(shared_bounds, 1, 32, 0, nullptr, y.data(), 1); });
  must_catch({"shared_bounds", "wrote out of bounds: shared array 'tile' - 4 bytes"},
             [&] { gpu::launch(shared_bounds, 1, 32, 0, nullptr, y.data(), -1); });
  must_catch({"dynamic_bounds", "wrote out of bounds: dynamic shared memory + 128 bytes (it has 128)"},
             [&] { gpu::launch(dynamic_bounds, 1, 32, 128, nullptr, y.data(), 1); });
  must_pass([&] { gpu::launch(shared_bounds, 1, 32, 0, nullptr, y.data(), 0); });
  must_pass([&] { gpu::launch(dynamic_bounds, 1, 32, 128, nullptr, y.data(), 0); });
}

TEST_CASE("a write around a device allocation is found") {
  must_catch({"fill_one", "wrote out of bounds: 0 bytes behind the end of a device allocation of 40 bytes"},
             [] {
               Array<float> y(10);
               gpu::launch(fill_one, 1, 32, 0, nullptr, y.data(), 11);
             });
  must_pass([] {
    Array<float> y(10);
    gpu::launch(fill_one, 1, 32, 0, nullptr, y.data(), 10);
  });
}
#endif

__global__ void copy_unwritten_shared(float* y) {
  FER_SHARED(float, tile, [32]);
  if (threadIdx.x < 31) tile[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}
__global__ void remember(float* y, bool write) {
  FER_SHARED(float, tile, [32]);
  if (write || blockIdx.x == 0) tile[threadIdx.x] = 1;
  y[blockIdx.x * 32 + threadIdx.x] = tile[threadIdx.x];
}

TEST_CASE("fresh memory is NaN, in each block anew") {
  const Array<float> fresh(5);
  for (const float v : fresh.host()) CHECK(std::isnan(v));
  const Array<double> fresh64(5);
  for (const double v : fresh64.host()) CHECK(std::isnan(v));
  // Uninstrumented, so the bug shows in the result.
  Array<float> y(32);
  gpu::launch(copy_unwritten_shared, 1, 32, 0, nullptr, y.data());
  CHECK(y.host()[30] == 1);
  CHECK(std::isnan(y.host()[31]));
  Options o = options();
  o.threads = 1;
  o.order = LaneOrder::forward;
  const OptionsScope scope(o);
  Array<float> two(64);
  gpu::launch(remember, 2, 32, 0, nullptr, two.data(), false);
  CHECK(two.host()[0] == 1);
  CHECK(std::isnan(two.host()[32]));
  gpu::launch(remember, 2, 32, 0, nullptr, two.data(), true);
  CHECK(two.host()[32] == 1);
}

// --- cp.async ------------------------------------------------------------------------------------------

/// Two stages in flight; `late` waits for one group too few.
__global__ void pipeline(const float* x, float* y, int stages, bool late) {
  FER_SHARED(float, buffer, [2][128]);
  const int t = static_cast<int>(threadIdx.x);
  cp_async<16>(&buffer[0][t * 4], x + t * 4);
  cp_async_commit();
  for (int s = 0; s < stages; ++s) {
    if (s + 1 < stages) cp_async<16>(&buffer[(s + 1) % 2][t * 4], x + (s + 1) * 128 + t * 4);
    cp_async_commit();
    if (late) {
      cp_async_wait<2>();
    } else {
      cp_async_wait<1>();
    }
    __syncthreads();
    for (int i = t; i < 128; i += 32) y[s * 128 + i] = buffer[s % 2][127 - i];
    __syncthreads();
  }
}

TEST_CASE("late cp.async shows a wait that is off by one; early cp.async hides it") {
  const Array<float> x(counting<float>(3 * 128));
  const auto first = [&](bool late, AsyncCopy mode) {
    Options o = options();
    o.async_copy = mode;
    const OptionsScope scope(o);
    Array<float> y(3 * 128);
    gpu::launch(pipeline, 1, 32, 0, nullptr, x.data(), y.data(), 3, late);
    return y.host();
  };
  for (const AsyncCopy mode : {AsyncCopy::early, AsyncCopy::late}) {
    const std::vector<float> y = first(false, mode);
    for (std::size_t i = 0; i < y.size(); ++i)
      CHECK(y[i] == static_cast<float>(i / 128 * 128 + 127 - i % 128));
  }
  CHECK(first(true, AsyncCopy::early)[0] == 127);
  CHECK(std::isnan(first(true, AsyncCopy::late)[0]));
}

__global__ void copy_asynchronously(const float* x, std::uintptr_t host, int offset, int target, int bytes,
                                    float* y) {
  FER_SHARED(float, buffer, [32]);
  const float* from = host != 0 ? reinterpret_cast<const float*>(host) : x;
  if (threadIdx.x == 0) {
    cp_async<16>(buffer + target, from + offset, bytes);
    cp_async_commit();
    cp_async_wait<0>();
    for (int i = 0; i < 4; ++i) y[i] = buffer[target + i];
  }
}

TEST_CASE("cp.async copies aligned pieces of device memory into one shared array") {
  const Array<float> x(counting<float>(32, 1));
  alignas(16) float host[32] = {};
  Array<float> y(4);
  const auto launch = [&](const float* from, int offset, int target, int bytes) {
    gpu::launch(copy_asynchronously, 1, 32, 0, nullptr, x.data(), reinterpret_cast<std::uintptr_t>(from),
                offset, target, bytes, y.data());
  };
  must_catch({"cp_async<16>", "the source is not device memory"}, [&] { launch(host, 0, 0, 16); });
  must_catch({"cp_async<16>", "the source is not aligned"}, [&] { launch(nullptr, 1, 0, 16); });
  must_catch({"cp_async<16>", "the destination is not aligned", "shared array 'buffer' + 8 bytes"},
             [&] { launch(nullptr, 0, 2, 16); });
  must_catch({"the destination is not within one array"}, [&] { launch(nullptr, 0, 32, 16); });
  must_catch({"source_bytes must lie between 0 and"}, [&] { launch(nullptr, 0, 0, 17); });
  must_pass([&] { launch(nullptr, 4, 4, 8); });  // the rest becomes zero
  CHECK(y.host() == std::vector<float>{5, 6, 0, 0});
}

// --- runtime -------------------------------------------------------------------------------------------

TEST_CASE("copies check their kind and their range") {
  Array<float> x(8);
  float host[16] = {};
  CHECK_THROWS_AS(gpu::memcpy_async(x.data(), host, 64, gpu::CopyKind::host_to_device, nullptr), CheckError);
  CHECK_THROWS_WITH_AS(
      gpu::memcpy_async(host, x.data() + 4, 20, gpu::CopyKind::device_to_host, nullptr),
      doctest::Contains("20 bytes at offset 16 of the source run over the end of its 32 bytes"), CheckError);
  CHECK_THROWS_WITH_AS(gpu::memcpy_async(host, host, 4, gpu::CopyKind::host_to_device, nullptr),
                       doctest::Contains("the destination is not device memory"), CheckError);
  CHECK_THROWS_WITH_AS(gpu::memcpy_async(x.data(), x.data(), 4, gpu::CopyKind::host_to_device, nullptr),
                       doctest::Contains("the source is device memory, but the kind of copy says host"),
                       CheckError);
  gpu::memset_async(x.data(), 0, 32, nullptr);
  CHECK(x.host() == std::vector<float>(8, 0.0f));
}

__global__ void launches_another() {
  gpu::launch(nothing, 1, 32, 0, nullptr);
}

TEST_CASE("a kernel cannot launch another") {
  must_catch({"from inside of a kernel"}, [] { gpu::launch(launches_another, 1, 32, 0, nullptr); });
}

TEST_CASE("options come from the environment") {
  const auto with = [](const char* name, const char* value) {
    setenv(name, value, 1);
    Options o;
    std::string error;
    try {
      o = options_from_environment();
    } catch (const ConfigError& e) {
      error = e.what();
    }
    unsetenv(name);
    return std::pair(o, error);
  };
  CHECK(with("FER_SIMT_ORDER", "reverse").first.order == LaneOrder::reverse);
  CHECK(with("FER_SIMT_ORDER", "shuffled:42").first.order == LaneOrder::shuffled);
  CHECK(with("FER_SIMT_ORDER", "shuffled:42").first.seed == 42);
  CHECK(with("FER_SIMT_ASYNC_COPY", "early").first.async_copy == AsyncCopy::early);
  CHECK(with("FER_SIMT_THREADS", "3").first.threads == 3);
  CHECK(with("FER_SIMT_SHARED_LIMIT", "99").first.shared_limit == 101376);
  CHECK(with("FER_SIMT_ORDER", "backwards").second ==
        "FER_SIMT_ORDER is 'backwards'; it may be forward, reverse, shuffled or shuffled:<seed>");
  CHECK(with("FER_SIMT_ASYNC_COPY", "").second == "FER_SIMT_ASYNC_COPY is ''; it may be early or late");
  CHECK(with("FER_SIMT_THREADS", "2x").second == "FER_SIMT_THREADS is '2x'; it must be a number of threads");
  CHECK(with("FER_SIMT_SHARED_LIMIT", "0").second ==
        "FER_SIMT_SHARED_LIMIT is '0'; it must be a number of KiB, 1 to 1024");
  CHECK(with("FER_SIMT_SHARED_LIMIT", "99K").second ==
        "FER_SIMT_SHARED_LIMIT is '99K'; it must be a number of KiB, 1 to 1024");
}

TEST_CASE("memory is counted, limited and reused") {
  const std::size_t before = device_memory().live;
  reset_peak_device_memory();
  void* first = gpu::malloc(1000);
  void* second = gpu::malloc(5000);
  CHECK(device_memory().live == before + 6000);
  gpu::free(first);
  CHECK(device_memory().live == before + 5000);
  CHECK(device_memory().peak == before + 6000);
  CHECK(gpu::malloc(0) == nullptr);
  gpu::free(nullptr);
  Options o = options();
  o.memory_limit = before + 10000;
  const OptionsScope scope(o);
  CHECK_THROWS_WITH_AS(gpu::malloc(5001), doctest::Contains("5001 bytes asked for"), DeviceError);
  void* third = gpu::malloc(900);
  CHECK(third == first);
  CHECK(reinterpret_cast<std::uintptr_t>(third) % 256 == 0);
  gpu::free(third);
  gpu::free(second);
  CHECK_THROWS_AS(gpu::malloc(std::numeric_limits<std::size_t>::max() / 2), DeviceError);
}

TEST_CASE("the next launch reports a double free") {
  void* data = gpu::malloc(64);
  gpu::free(data);
  gpu::free(data);
  Array<float> y(32);
  CHECK(test::message_of([&] {
          gpu::launch(fill_one, 1, 32, 0, nullptr, y.data(), 32);
        }).find("freed twice") != std::string::npos);
  CHECK(test::message_of([&] { gpu::launch(fill_one, 1, 32, 0, nullptr, y.data(), 32); }) == "");
}

}  // namespace
}  // namespace fer::FER_DEVICE_NAMESPACE
