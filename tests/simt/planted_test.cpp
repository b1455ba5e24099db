// Wrong kernels that the executor must catch in every build, and their corrected versions: barriers, masks,
// shuffles, tensor-core operations, faults. Each message must name the source location and the fix.
#include <stdexcept>

#include "tests/simt/planted.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {
using test::Array;
using test::must_catch;
using test::must_pass;

// --- block barriers -----------------------------------------------------------------------------------

__global__ void barrier_in_branch(float* y, bool wrong) {
  if (wrong && threadIdx.x % 2 == 1) {
    y[threadIdx.x] = 1;
    __syncthreads();
  } else {
    y[threadIdx.x] = 2;
    __syncthreads();
  }
}
__global__ void barrier_behind_branch(float* y) {
  y[threadIdx.x] = threadIdx.x % 2 == 1 ? 1.0f : 2.0f;
  __syncthreads();
}

TEST_CASE("a barrier inside of a branch is divergent") {
  Array<float> y(64);
  must_catch({"barrier_in_branch", "block (0,0,0)", "divergent barrier",
              "planted_test.cpp:", "move it out of the branch"},
             [&] { gpu::launch(barrier_in_branch, 1, 64, 0, nullptr, y.data(), true); });
  must_pass([&] { gpu::launch(barrier_in_branch, 1, 64, 0, nullptr, y.data(), false); });
  must_pass([&] { gpu::launch(barrier_behind_branch, 1, 64, 0, nullptr, y.data()); });
}

__global__ void early_return(float* y, int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  y[threadIdx.x] = 1;
  __syncthreads();
}

TEST_CASE("a thread that returned before a barrier is reported as missing") {
  Array<float> y(64);
  must_catch({"early_return", "divergent barrier", "return", "only behind it"},
             [&] { gpu::launch(early_return, 1, 64, 0, nullptr, y.data(), 40); });
  must_pass([&] { gpu::launch(early_return, 1, 64, 0, nullptr, y.data(), 64); });
}

__global__ void wait_for_each_other(bool wrong) {
  if (wrong && threadIdx.x < 16) {
    __syncwarp();
  }
  __syncthreads();
}

TEST_CASE("threads that wait for each other are reported with what they wait for") {
  must_catch({"deadlock", "16 threads wait at __syncwarp", "with mask 0xffffffff: lanes 0-15 of warp 0",
              "missing: lanes 16-31", "48 threads wait at __syncthreads"},
             [] { gpu::launch(wait_for_each_other, 1, 64, 0, nullptr, true); });
  must_pass([] { gpu::launch(wait_for_each_other, 1, 64, 0, nullptr, false); });
}

// --- masks and shuffles ----------------------------------------------------------------------------------

__global__ void shuffle_with_mask(unsigned mask, int active, int* y) {
  int value = static_cast<int>(threadIdx.x);
  if (value < active) value = __shfl_xor_sync(mask, value, 1);
  y[threadIdx.x] = value;
}

TEST_CASE("a lane may call only for masks that name it") {
  Array<int> y(32);
  must_catch({"__shfl_xor_sync", "with mask 0xffff,", "leaves out its own lane",
              "a lane may only call for masks that name it"},
             [&] { gpu::launch(shuffle_with_mask, 1, 32, 0, nullptr, 0xffffu, 32, y.data()); });
  must_pass([&] { gpu::launch(shuffle_with_mask, 1, 32, 0, nullptr, 0xffffu, 16, y.data()); });
  CHECK(y.host()[0] == 1);
  CHECK(y.host()[16] == 16);
}

__global__ void masks_that_disagree(bool wrong) {
  const unsigned mask = wrong && threadIdx.x < 16 ? 0x7fffffffu : 0xffffffffu;
  __shfl_sync(mask, 1, 0);
}

TEST_CASE("lanes of one operation must agree on its mask") {
  must_catch({"mismatch", "with mask 0xffffffff", "with mask 0x7fffffff",
              "planted_test.cpp:", "must call the same operation with the same mask"},
             [] { gpu::launch(masks_that_disagree, 1, 32, 0, nullptr, true); });
  must_pass([] { gpu::launch(masks_that_disagree, 1, 32, 0, nullptr, false); });
}

__global__ void operations_that_disagree(int* y, bool wrong) {
  int value = 1;
  if (wrong && threadIdx.x % 2 == 0) {
    value = __shfl_up_sync(full_warp, value, 1);
  } else if (wrong) {
    value = __shfl_down_sync(full_warp, value, 1);
  } else {
    value = __shfl_up_sync(full_warp, value, 1);
  }
  y[threadIdx.x] = value;
}

TEST_CASE("lanes of one mask must call the same operation") {
  Array<int> y(32);
  must_catch({"mismatch", "__shfl_up_sync", "__shfl_down_sync"},
             [&] { gpu::launch(operations_that_disagree, 1, 32, 0, nullptr, y.data(), true); });
  must_pass([&] { gpu::launch(operations_that_disagree, 1, 32, 0, nullptr, y.data(), false); });
}

__global__ void shuffle_from(unsigned mask, int source, int returning, int active, int* y) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane >= returning) return;
  if (lane < active) y[lane] = __shfl_sync(mask, lane, source);
}

TEST_CASE("a shuffle from an absent lane is undefined") {
  Array<int> y(64);
  const auto launch = [&](int threads, unsigned mask, int source, int returning, int active) {
    gpu::launch(shuffle_from, 1, threads, 0, nullptr, mask, source, returning, active, y.data());
  };
  must_catch({"__shfl_sync", "reads from lane 30, which has returned"},
             [&] { launch(32, full_warp, 30, 20, 32); });
  must_catch({"reads from lane 20, which the block does not have"},
             [&] { launch(16, full_warp, 20, 16, 16); });
  must_catch({"reads from lane 17, which "}, [&] { launch(32, 0x0000ffffu, 17, 32, 16); });
  must_pass([&] { launch(32, full_warp, 12, 20, 32); });
  CHECK(y.host()[3] == 12);
}

__global__ void odd_width(int* y, int width) {
  y[threadIdx.x] = __shfl_down_sync(full_warp, 1, 1, width);
}

TEST_CASE("a shuffle's width must be a power of two") {
  Array<int> y(32);
  must_catch({"__shfl_down_sync", "width 12", "power of two"},
             [&] { gpu::launch(odd_width, 1, 32, 0, nullptr, y.data(), 12); });
  must_pass([&] { gpu::launch(odd_width, 1, 32, 0, nullptr, y.data(), 8); });
}

// --- tensor cores ------------------------------------------------------------------------------------------

__global__ void one_mma(float* y, int returning) {
  const std::uint32_t a[4] = {}, b[2] = {};
  float c[4] = {1, 2, 3, 4};
  if (static_cast<int>(threadIdx.x) >= returning) return;
  mma_m16n8k8_tf32(c, a, b, c);
  y[threadIdx.x] = c[0];
}

TEST_CASE("a tensor-core operation needs all lanes of its warp") {
  Array<float> y(64);
  must_catch({"mma_m16n8k8_tf32", "needs all 32 lanes of a warp, but warp 0 has 24"},
             [&] { gpu::launch(one_mma, 1, 24, 0, nullptr, y.data(), 24); });
  must_catch({"mma_m16n8k8_tf32", "warp 1"}, [&] { gpu::launch(one_mma, 1, 64, 0, nullptr, y.data(), 40); });
  must_pass([&] { gpu::launch(one_mma, 1, 64, 0, nullptr, y.data(), 32); });
  CHECK(y.host()[31] == 1);
}

__global__ void mma_in_branch(float* y, int lanes) {
  const std::uint32_t a[4] = {}, b[2] = {};
  float c[4] = {};
  if (static_cast<int>(threadIdx.x) < lanes) mma_m16n8k16_bf16(c, a, b, c);
  __syncwarp();
  y[threadIdx.x] = c[0];
}

TEST_CASE("a tensor-core operation in a branch leaves lanes out") {
  Array<float> y(32);
  must_catch({"mismatch", "mma_m16n8k16_bf16", "__syncwarp"},
             [&] { gpu::launch(mma_in_branch, 1, 32, 0, nullptr, y.data(), 8); });
  must_pass([&] { gpu::launch(mma_in_branch, 1, 32, 0, nullptr, y.data(), 32); });
}

__global__ void load_rows(const void* global, int pitch, bool from_shared) {
  FER_SHARED(std::uint16_t, tile, [32 * 16]);
  for (int i = static_cast<int>(threadIdx.x); i < 32 * 16; i += 32) tile[i] = 0;
  __syncwarp();
  std::uint32_t r[4];
  const std::uint16_t* row = tile + static_cast<int>(threadIdx.x) * pitch;
  ldmatrix_x4(r, from_shared ? static_cast<const void*>(row) : global);
}

TEST_CASE("ldmatrix reads aligned rows of shared memory") {
  Array<float> x(64);
  must_catch({"ldmatrix_x4", "not a multiple of 16 bytes", "shared array 'tile'"},
             [&] { gpu::launch(load_rows, 1, 32, 0, nullptr, x.data(), 12, true); });
  must_catch({"ldmatrix_x4", "not 16 bytes of the block's shared memory"},
             [&] { gpu::launch(load_rows, 1, 32, 0, nullptr, x.data(), 8, false); });
  must_catch({"ldmatrix_x4", "not 16 bytes of the block's shared memory"},
             [&] { gpu::launch(load_rows, 1, 32, 0, nullptr, x.data(), 24, true); });
  must_pass([&] { gpu::launch(load_rows, 1, 32, 0, nullptr, x.data(), 8, true); });
}

// --- faults --------------------------------------------------------------------------------------------

#if !defined(__SANITIZE_ADDRESS__)  // there the sanitizer reports, and ends the program
__global__ void write_to(float* p, long long offset) {
  p[offset + threadIdx.x] = 1;
}
__global__ void divide(const int* x, int* y) {
  y[threadIdx.x] = 7 / x[threadIdx.x];
}
__attribute__((noinline)) int recurse(volatile int* depth) {
  volatile char frame[512] = {};
  *depth = *depth + 1;
  return *depth < 0 ? frame[0] : recurse(depth) + frame[1];
}
__global__ void recurse_for_ever(int* y) {
  volatile int depth = 0;
  y[threadIdx.x] = recurse(&depth);
}
TEST_CASE("a wild access does not crash the program") {
  Array<float> y(64);
  must_catch({"write_to", "thread (", "a null pointer"},
             [] { gpu::launch(write_to, 1, 32, 0, nullptr, static_cast<float*>(nullptr), 0LL); });
  must_catch({"write_to", "which is not mapped", "check the pointer and its index"},
             [&] { gpu::launch(write_to, 1, 32, 0, nullptr, y.data(), 1LL << 31); });
  must_pass([&] { gpu::launch(write_to, 1, 32, 0, nullptr, y.data(), 32LL); });
}

TEST_CASE("a stack overflow is an error") {
  Array<int> y(32);
  must_catch({"recurse_for_ever", "overflows its stack of 65536 bytes"},
             [&] { gpu::launch(recurse_for_ever, 1, 32, 0, nullptr, y.data()); });
}

#if defined(__x86_64__)
TEST_CASE("an integer division by zero is an error") {
  Array<int> y(32);
  const Array<int> zeros(std::vector<int>(32, 0)), ones(std::vector<int>(32, 1));
  must_catch({"divides an integer by zero"},
             [&] { gpu::launch(divide, 1, 32, 0, nullptr, zeros.data(), y.data()); });
  must_pass([&] { gpu::launch(divide, 1, 32, 0, nullptr, ones.data(), y.data()); });
}
#endif
#endif

__global__ void throwing(int thread) {
  if (static_cast<int>(threadIdx.x) == thread) throw std::runtime_error("from the kernel");
  __syncthreads();
}
__global__ void trapping() {
  __trap();
}

TEST_CASE("exceptions and traps end the launch, not the program") {
  must_catch({"throwing", "thread (5,0,0)", "an exception left the kernel: from the kernel"},
             [] { gpu::launch(throwing, 1, 32, 0, nullptr, 5); });
  must_catch({"trapping", "__trap", "planted_test.cpp:"}, [] { gpu::launch(trapping, 1, 32, 0, nullptr); });
  must_pass([] { gpu::launch(throwing, 1, 32, 0, nullptr, 99); });
}

__global__ void fails_in_block(float* y, unsigned bad) {
  y[blockIdx.x * 32 + threadIdx.x] = 1;
  if (blockIdx.x >= bad) __shfl_sync(1u << 31, 0, 0);
  __syncthreads();
}

TEST_CASE("of several failing blocks the first in order is reported, and the executor goes on working") {
  Array<float> y(64 * 32);
  Options o = options();
  o.order = LaneOrder::forward;
  o.threads = 4;
  const OptionsScope scope(o);
  for (int repeat = 0; repeat < 5; ++repeat) {
    const std::string message =
        test::message_of([&] { gpu::launch(fails_in_block, 64, 32, 0, nullptr, y.data(), 9u); });
    CHECK(message.find("block (9,0,0)") != std::string::npos);
  }
  CHECK(test::message_of([&] { gpu::launch(fails_in_block, 64, 32, 0, nullptr, y.data(), 64u); }) == "");
  for (const float v : y.host()) CHECK(v == 1);
}

TEST_CASE("device functions outside of a kernel say so") {
  const std::string message = test::message_of([] { __syncthreads(); });
  CHECK(message.find("__syncthreads was called outside of a kernel") != std::string::npos);
}

}  // namespace
}  // namespace fer::FER_DEVICE_NAMESPACE
