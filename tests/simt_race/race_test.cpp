// Wrong kernels that only the access checker can catch, and their corrected versions. In every build, this
// file is compiled with -fsanitize=thread and linked to the executor's hooks. A wrong kernel must be caught
// in every order of lanes and blocks, even if its result happens to be right.
#include "tests/simt/planted.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {
using test::Array;
using test::counting;
using test::must_catch;
using test::must_pass;

// --- loops that never end ----------------------------------------------------------------------------------

__global__ void waits_for_ever(volatile int* flag) {
  while (*flag == 0) {
  }
}

TEST_CASE("a loop of checked accesses that never ends") {
  Options limited = options();
  limited.time_limit = 0.1;
  const OptionsScope scope(limited);
  Array<int> flag(std::vector<int>{0});
  must_catch({"waits_for_ever", "is still running after 0.1 s of processor time (race_test.cpp:"},
             [&] { gpu::launch(waits_for_ever, 1, 32, 0, nullptr, flag.data()); });
}

// --- races in shared memory ------------------------------------------------------------------------------

__global__ void read_neighbour(float* y, bool barrier) {
  FER_SHARED(float, tile, [64]);
  tile[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (barrier) __syncthreads();
  y[threadIdx.x] = tile[(threadIdx.x + 32) % 64];
}

TEST_CASE("a read of what another thread writes, without a barrier") {
  Array<float> y(64);
  // Depending on the order, one half finds uninitialised memory, and the other half finds the race.
  must_catch({"read_neighbour", "block (0,0,0)", "shared array 'tile' + ", "race_test.cpp:", "barrier"},
             [&] { gpu::launch(read_neighbour, 1, 64, 0, nullptr, y.data(), false); });
  must_pass([&] { gpu::launch(read_neighbour, 1, 64, 0, nullptr, y.data(), true); });
}

__global__ void accumulate_tiles(const float* x, float* y, int tiles, bool barrier) {
  FER_SHARED(float, tile, [64]);
  float sum = 0;
  for (int i = 0; i < tiles; ++i) {
    tile[threadIdx.x] = x[i * 64 + static_cast<int>(threadIdx.x)];
    __syncthreads();
    for (int k = 0; k < 64; ++k) sum += tile[k];
    if (barrier) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

TEST_CASE("a tile overwritten while others still read it") {
  const Array<float> x(counting<float>(192));
  Array<float> y(64);
  must_catch({"accumulate_tiles", "shared array 'tile'", "(race_test.cpp:", "race", "put a __sync"},
             [&] { gpu::launch(accumulate_tiles, 1, 64, 0, nullptr, x.data(), y.data(), 3, false); });
  must_pass([&] { gpu::launch(accumulate_tiles, 1, 64, 0, nullptr, x.data(), y.data(), 3, true); });
  CHECK(y.host()[5] == 191 * 192 / 2);
}

__global__ void all_write_one(float* y, bool all) {
  FER_SHARED(float, total, );
  if (all || threadIdx.x == 40) total = 1;  // the same value from everybody is a race all the same
  __syncthreads();
  y[threadIdx.x] = total;
}

TEST_CASE("a word written by several threads") {
  Array<float> y(64);
  must_catch(
      {"all_write_one", "writes shared array 'total' + 0 bytes (it has 4)", " wrote (race_test.cpp:", "race"},
      [&] { gpu::launch(all_write_one, 1, 64, 0, nullptr, y.data(), true); });
  must_pass([&] { gpu::launch(all_write_one, 1, 64, 0, nullptr, y.data(), false); });
}

__global__ void warp_exchange(float* y, unsigned mask, int threads) {
  FER_SHARED(float, tile, [32]);
  if (static_cast<int>(threadIdx.x) >= threads) return;
  tile[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (mask != 0) __syncwarp(mask);
  y[threadIdx.x] = tile[threadIdx.x ^ 1u];
}

TEST_CASE("a missing __syncwarp") {
  Array<float> y(32);
  must_catch({"warp_exchange", "shared array 'tile'"},
             [&] { gpu::launch(warp_exchange, 1, 32, 0, nullptr, y.data(), 0u, 32); });
  must_pass([&] { gpu::launch(warp_exchange, 1, 32, 0, nullptr, y.data(), full_warp, 32); });
  must_pass([&] { gpu::launch(warp_exchange, 1, 32, 0, nullptr, y.data(), 0xffu, 8); });
}

__global__ void warp_tree(float* y, bool barrier) {
  FER_SHARED(float, part, [32]);
  part[threadIdx.x] = 1;
  __syncwarp();
  for (unsigned i = 16; i > 0; i /= 2) {
    float sum = 0;
    if (threadIdx.x < i) sum = part[threadIdx.x] + part[threadIdx.x + i];
    if (barrier) __syncwarp();
    if (threadIdx.x < i) part[threadIdx.x] = sum;
    if (barrier) __syncwarp();
  }
  y[threadIdx.x] = part[0];
}

TEST_CASE("a warp's tree reduction that trusts lanes to run in step") {
  Array<float> y(32);
  must_catch({"warp_tree", "race within a warp, whose lanes do not run in step; put a __syncwarp()"},
             [&] { gpu::launch(warp_tree, 1, 32, 0, nullptr, y.data(), false); });
  must_pass([&] { gpu::launch(warp_tree, 1, 32, 0, nullptr, y.data(), true); });
  CHECK(y.host()[0] == 32);
}

__global__ void half_warps(float* y, unsigned low, unsigned high) {
  FER_SHARED(float, tile, [32]);
  const unsigned t = threadIdx.x;
  tile[t] = 1;
  if (t < 16) {
    __syncwarp(low);
  } else {
    __syncwarp(high);
  }
  y[t] = tile[low == 0xffffu ? t ^ 3u : (t + 16) % 32];
}

TEST_CASE("__syncwarp orders only the lanes that it names") {
  Array<float> y(32);
  must_pass([&] { gpu::launch(half_warps, 1, 32, 0, nullptr, y.data(), 0xffffu, 0xffff0000u); });
  must_pass([&] { gpu::launch(half_warps, 1, 32, 0, nullptr, y.data(), full_warp, full_warp); });
}

__global__ void across_halves(float* y, bool meet) {
  FER_SHARED(float, tile, [32]);
  const unsigned t = threadIdx.x;
  tile[t] = 1;
  __syncwarp(t < 16 ? 0xffffu : 0xffff0000u);
  if (meet) __syncwarp();
  y[t] = tile[t ^ 16u];
}

TEST_CASE("lanes of different __syncwarp masks are not ordered") {
  Array<float> y(32);
  must_catch({"across_halves", "shared array 'tile'"},
             [&] { gpu::launch(across_halves, 1, 32, 0, nullptr, y.data(), false); });
  must_pass([&] { gpu::launch(across_halves, 1, 32, 0, nullptr, y.data(), true); });
}

__global__ void shuffle_is_no_barrier(float* y, bool barrier) {
  FER_SHARED(float, tile, [32]);
  tile[threadIdx.x] = 1;
  const float sum = warp_sum(1.0f);
  if (barrier) __syncwarp();
  y[threadIdx.x] = sum + tile[threadIdx.x ^ 5u];
}

TEST_CASE("shuffles do not order memory") {
  Array<float> y(32);
  must_catch({"shuffle_is_no_barrier", "race within a warp", "put a __syncwarp()"},
             [&] { gpu::launch(shuffle_is_no_barrier, 1, 32, 0, nullptr, y.data(), false); });
  must_pass([&] { gpu::launch(shuffle_is_no_barrier, 1, 32, 0, nullptr, y.data(), true); });
}

__global__ void bytes_of_a_word(unsigned char* y, bool own) {
  FER_SHARED(unsigned char, flags, [64]);
  flags[threadIdx.x] = 1;  // neighbours share words, but not bytes
  if (!own) __syncthreads();
  y[threadIdx.x] = flags[own ? threadIdx.x : 63 - threadIdx.x];
}
__global__ void bytes_that_meet(unsigned char* y) {
  FER_SHARED(unsigned char, flags, [64]);
  flags[threadIdx.x / 2] = 1;
  __syncthreads();
  y[threadIdx.x] = flags[threadIdx.x / 2];
}

TEST_CASE("bytes of one word are distinguished") {
  Array<unsigned char> y(64);
  must_pass([&] { gpu::launch(bytes_of_a_word, 1, 64, 0, nullptr, y.data(), true); });
  must_pass([&] { gpu::launch(bytes_of_a_word, 1, 64, 0, nullptr, y.data(), false); });
  must_catch({"bytes_that_meet", "writes shared array 'flags'", "race"},
             [&] { gpu::launch(bytes_that_meet, 1, 64, 0, nullptr, y.data()); });
}

// --- races in device memory -------------------------------------------------------------------------------

__global__ void sum_into_one(float* y, int stride) {
  y[static_cast<int>(blockIdx.x) * stride] = 1;
}

TEST_CASE("blocks that write the same word") {
  Array<float> y(4);
  must_catch(
      {"sum_into_one", "writes the memory of argument 0 + 0 bytes (it has 16)", "of block (",
       "race between blocks", "give each block memory of its own or split the kernel into two launches"},
      [&] { gpu::launch(sum_into_one, 4, 1, 0, nullptr, y.data(), 0); });
  must_pass([&] { gpu::launch(sum_into_one, 4, 1, 0, nullptr, y.data(), 1); });
}

__global__ void shift(float* x, float* y, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = x[i + 1 < n ? i + 1 : 0] + 1;
}

TEST_CASE("a shift in place reads what other blocks and threads write") {
  Array<float> x(counting<float>(96)), y(96);
  must_catch({"shift", "the memory of argument 0", "race"},
             [&] { gpu::launch(shift, 3, 32, 0, nullptr, x.data(), x.data(), 96); });
  must_catch({"shift", "race between blocks"},
             [&] { gpu::launch(shift, 96, 1, 0, nullptr, x.data(), x.data(), 96); });
  must_pass([&] { gpu::launch(shift, 3, 32, 0, nullptr, x.data(), y.data(), 96); });
  // Launches are ordered: the next one may read and overwrite what the last one wrote.
  must_pass([&] { gpu::launch(shift, 3, 32, 0, nullptr, y.data(), x.data(), 96); });
}

__global__ void through_device_memory(float* scratch, float* y, bool barrier) {
  scratch[threadIdx.x] = 1;
  if (barrier) __syncthreads();
  y[threadIdx.x] = scratch[63 - threadIdx.x];
}

TEST_CASE("threads that meet in device memory need a barrier too") {
  Array<float> scratch(64), y(64);
  gpu::memset_async(scratch.data(), 0, scratch.bytes(), nullptr);
  must_catch({"through_device_memory", "argument 0", "put a __syncthreads() between them"},
             [&] { gpu::launch(through_device_memory, 1, 64, 0, nullptr, scratch.data(), y.data(), false); });
  must_pass([&] { gpu::launch(through_device_memory, 1, 64, 0, nullptr, scratch.data(), y.data(), true); });
}

/// The last block to finish adds up the results of all blocks.
__global__ void last_block_sums(float* parts, int* done, float* y, bool fenced) {
  FER_SHARED(int, position, );
  if (threadIdx.x == 0) parts[blockIdx.x] = static_cast<float>(blockIdx.x);
  if (threadIdx.x == 0) {
    if (fenced) __threadfence();
    position = atomicAdd(done, 1);
  }
  __syncthreads();
  if (position == static_cast<int>(gridDim.x) - 1 && threadIdx.x == 0) {
    float sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i];
    *y = sum;
  }
}

TEST_CASE("the last block may read the others' results only behind a fence and an atomic") {
  Array<float> parts(20), y(1);
  const auto launch = [&](bool fenced) {
    const Array<int> done(std::vector<int>{0});
    gpu::launch(last_block_sums, 20, 32, 0, nullptr, parts.data(), done.data(), y.data(), fenced);
  };
  must_catch({"last_block_sums", "race between blocks"}, [&] { launch(false); });
  must_pass([&] { launch(true); });
  CHECK(y.host()[0] == 190);
}

__global__ void atomic_and_plain(int* counter, bool plain) {
  if (plain && threadIdx.x == 5) {
    *counter = 1;
  } else {
    atomicAdd(counter, 1);
  }
}

TEST_CASE("an atomic does not protect from a plain write") {
  Array<int> counter(std::vector<int>{0});
  must_catch({"atomic_and_plain", "argument 0", "race"},
             [&] { gpu::launch(atomic_and_plain, 1, 32, 0, nullptr, counter.data(), true); });
  must_pass([&] { gpu::launch(atomic_and_plain, 4, 32, 0, nullptr, counter.data(), false); });
}

// --- uninitialised and out of bounds -------------------------------------------------------------------

__global__ void sum_tile(const float* x, float* y, int n) {
  FER_SHARED(float, tile, [64]);
  if (static_cast<int>(threadIdx.x) < n) tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < 64; ++i) sum += tile[i];
  if (threadIdx.x == 0) y[0] = sum;
}

TEST_CASE("a ragged tile whose remainder nobody filled") {
  const Array<float> x(counting<float>(64));
  Array<float> y(1);
  must_catch({"sum_tile", "reads shared array 'tile' + 240 bytes (it has 256)",
              "no thread of the block has written", "uninitialised read", "race_test.cpp:"},
             [&] { gpu::launch(sum_tile, 1, 64, 0, nullptr, x.data(), y.data(), 60); });
  must_pass([&] { gpu::launch(sum_tile, 1, 64, 0, nullptr, x.data(), y.data(), 64); });
}

TEST_CASE("device memory that nothing has written") {
  const Array<float> x(counting<float>(64));
  Array<float> y(1);
  Array<float> partial(64);
  must_catch(
      {"uninitialised read", "the memory of argument 0 + ", "(it has 256)", "which nothing has written"},
      [&] { gpu::launch(sum_tile, 1, 64, 0, nullptr, Array<float>(64).data(), y.data(), 64); });
  // Half is written by a copy; the other half is still uninitialised.
  gpu::memcpy_async(partial.data(), x.data(), 128, gpu::CopyKind::device_to_device, nullptr);
  must_catch({"argument 0 + 128 bytes (it has 256)", "uninitialised read"},
             [&] { gpu::launch(shift, 1, 1, 0, nullptr, partial.data() + 31, y.data(), 2); });
  gpu::memcpy_async(partial.data() + 32, x.data() + 32, 128, gpu::CopyKind::device_to_device, nullptr);
  must_pass([&] { gpu::launch(sum_tile, 1, 64, 0, nullptr, partial.data(), y.data(), 64); });
}

__global__ void read_at(const float* x, float* y, int offset) {
  const float value = x[offset];
  if (value == 12345.0f) y[0] = value;
}
__global__ void read_vector(const float4* x, float* y, int i) {
  const float4 v = x[i];
  y[0] = v.x + v.w;
}
__global__ void read_shared_at(float* y, int offset) {
  FER_SHARED(float, first, [8]);
  FER_SHARED(float, second, [8]);
  if (threadIdx.x < 8) first[threadIdx.x] = second[threadIdx.x] = 1;
  __syncthreads();
  const float* p = first;
  y[threadIdx.x] = p[offset];
}

TEST_CASE("reads out of bounds, which leave no trace in a red zone") {
  const Array<float> x(counting<float>(10));
  Array<float> y(32);
  must_catch(
      {"read_at", "reads out of bounds: the memory of argument 0 + 40 bytes (it has 40)", "check the index"},
      [&] { gpu::launch(read_at, 1, 1, 0, nullptr, x.data(), y.data(), 10); });
  must_catch({"read_at", "reads out of bounds: "},
             [&] { gpu::launch(read_at, 1, 1, 0, nullptr, x.data(), y.data(), -1); });
  must_catch({"read_vector", "reads out of bounds: the memory of argument 0 + 4"}, [&] {
    gpu::launch(read_vector, 1, 1, 0, nullptr, reinterpret_cast<const float4*>(x.data()), y.data(), 2);
  });
  must_catch({"read_shared_at", "reads out of bounds: shared array 'first' + 32 bytes (it has 32)"},
             [&] { gpu::launch(read_shared_at, 1, 32, 0, nullptr, y.data(), 8); });
  must_pass([&] { gpu::launch(read_at, 1, 1, 0, nullptr, x.data(), y.data(), 9); });
  must_pass([&] { gpu::launch(read_shared_at, 1, 32, 0, nullptr, y.data(), 7); });
}

// --- cp.async ------------------------------------------------------------------------------------------

enum class Fault { none, wait, barrier, overwrite };

/// Copies tiles of 128 through two buffers; the result is each tile reversed.
__global__ void copy_pipeline(const float* x, float* y, int tiles, Fault fault) {
  FER_SHARED(float, buffer, [2][128]);
  const int t = static_cast<int>(threadIdx.x);
  cp_async<8>(&buffer[0][t * 2], x + t * 2);
  cp_async_commit();
  for (int s = 0; s < tiles; ++s) {
    if (s + 1 < tiles) cp_async<8>(&buffer[(s + 1) % 2][t * 2], x + (s + 1) * 128 + t * 2);
    cp_async_commit();
    if (fault == Fault::wait) {
      cp_async_wait<2>();
    } else {
      cp_async_wait<1>();
    }
    if (fault != Fault::barrier) __syncthreads();
    for (int i = t; i < 128; i += 64) y[s * 128 + i] = buffer[s % 2][127 - i];
    if (fault != Fault::overwrite) __syncthreads();
  }
}

TEST_CASE("cp.async: the wait, the barrier behind it, and the barrier before the next overwrite") {
  const Array<float> x(counting<float>(4 * 128));
  Array<float> y(4 * 128);
  for (const AsyncCopy mode : {AsyncCopy::early, AsyncCopy::late}) {
    Options o = options();
    o.async_copy = mode;
    const OptionsScope scope(o);
    const auto launch = [&](Fault fault) {
      gpu::launch(copy_pipeline, 1, 64, 0, nullptr, x.data(), y.data(), 4, fault);
    };
    must_catch(
        {"copy_pipeline", "shared array 'buffer'", "a cp.async writes that its thread has not waited for"},
        [&] { launch(Fault::wait); });
    must_catch({"copy_pipeline", "shared array 'buffer'"}, [&] { launch(Fault::barrier); });
    must_catch({"copy_pipeline", "shared array 'buffer'"}, [&] { launch(Fault::overwrite); });
    must_pass([&] { launch(Fault::none); });
    CHECK(y.host()[128] == 255);
  }
}

__global__ void unwritten_matrix(std::uint32_t* y, int rows) {
  FER_SHARED(std::uint16_t, m, [8][8]);
  if (static_cast<int>(threadIdx.x) < rows) {
    for (int i = 0; i < 8; ++i) m[threadIdx.x][i] = 1;
  }
  __syncwarp();
  std::uint32_t r[1];
  ldmatrix_x1(r, m[threadIdx.x % 8]);
  y[threadIdx.x] = r[0];
}

TEST_CASE("ldmatrix is a read") {
  Array<std::uint32_t> y(32);
  must_catch({"unwritten_matrix", "reads shared array 'm' + 112 bytes (it has 128)", "uninitialised read",
              "race_test.cpp:"},
             [&] { gpu::launch(unwritten_matrix, 1, 32, 0, nullptr, y.data(), 7); });
  must_pass([&] { gpu::launch(unwritten_matrix, 1, 32, 0, nullptr, y.data(), 8); });
}

}  // namespace
}  // namespace fer::FER_DEVICE_NAMESPACE
