// Shared by both targets, on top of their built-ins: the launch, index arithmetic, warp and block reductions.
// All reductions have a fixed order, so results do not depend on scheduling.
#pragma once

namespace fer::FER_DEVICE_NAMESPACE {
namespace gpu {

/// Runs kernel(arguments...) on grid x block threads with `shared_bytes` of dynamic shared memory. If these
/// are more than 48 KiB, calls allow_dynamic_shared(). (If only the sum with the kernel's static arrays
/// exceeds 48 KiB, the caller must do so.) The executor throws CheckError for launches that a GPU would
/// refuse, for pointers that are not device memory, and for every mistake that it finds while the kernel
/// runs.
template <bool instrumented = FER_SIMT_INSTRUMENTED, typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), Grid grid, dim3 block, std::size_t shared_bytes, Stream stream,
            Arguments&&... arguments) {
  if (shared_bytes > launch_limits::shared) allow_dynamic_shared(kernel, shared_bytes FER_WHERE_OF(grid));
  launch_as_is<instrumented>(kernel, grid, block, shared_bytes, stream,
                             std::forward<Arguments>(arguments)...);
}

}  // namespace gpu

inline constexpr unsigned full_warp = 0xffffffffu;
inline constexpr int warp_size = 32;

/// a / b, rounded up, for non-negative a and positive b.
template <typename A, typename B>
__host__ __device__ constexpr auto ceil_div(A a, B b) {
  return (a + b - 1) / b;
}

/// This thread's index in its block, with x varying fastest.
__device__ __forceinline__ int thread_rank() {
  return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}
__device__ __forceinline__ int block_threads() {
  return static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
}
__device__ __forceinline__ int lane_id() {
  return thread_rank() & 31;
}
__device__ __forceinline__ int warp_id() {
  return thread_rank() >> 5;
}

/// Reduces with combine(a, b) over the warp's 32 lanes by butterfly. Every lane receives the result. All
/// lanes must call.
template <typename T, typename Combine>
__device__ __forceinline__ T warp_reduce(T value, Combine combine FER_WHERE_PARAM) {
  FER_UNROLL
  for (int offset = 16; offset > 0; offset >>= 1) {
    value = combine(value, __shfl_xor_sync(full_warp, value, offset, 32 FER_WHERE_PASS));
  }
  return value;
}

struct SumOf {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct MaxOf {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct MinOf {
  template <typename T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};

template <typename T>
__device__ __forceinline__ T warp_sum(T value FER_WHERE_PARAM) {
  return warp_reduce(
      value, SumOf {} FER_WHERE_PASS);
}
template <typename T>
__device__ __forceinline__ T warp_max(T value FER_WHERE_PARAM) {
  return warp_reduce(
      value, MaxOf {} FER_WHERE_PASS);
}
template <typename T>
__device__ __forceinline__ T warp_min(T value FER_WHERE_PARAM) {
  return warp_reduce(
      value, MinOf {} FER_WHERE_PASS);
}

/// Reduces with combine(a, b) over all threads of the block, in a fixed order. Every thread receives the
/// result. `identity` stands in for warps that do not exist. The number of threads must be a multiple of 32,
/// and all of them must call. Uses 32 elements of static shared memory and three barriers.
template <typename T, typename Combine>
__device__ __forceinline__ T block_reduce(T value, T identity, Combine combine FER_WHERE_PARAM) {
  FER_SHARED(T, fer_block_reduce, [32]);
  value = warp_reduce(value, combine FER_WHERE_PASS);
  const int lane = lane_id(), warp = warp_id(), warps = block_threads() >> 5;
  FER_SYNCTHREADS_AT;  // an earlier call's result may still be being read
  if (lane == 0) fer_block_reduce[warp] = value;
  FER_SYNCTHREADS_AT;
  if (warp == 0) {
    T part = lane < warps ? fer_block_reduce[lane] : identity;
    part = warp_reduce(part, combine FER_WHERE_PASS);
    __syncwarp();  // all lanes must have read their parts before lane 0 overwrites one
    if (lane == 0) fer_block_reduce[0] = part;
  }
  FER_SYNCTHREADS_AT;
  return fer_block_reduce[0];
}

template <typename T>
__device__ __forceinline__ T block_sum(T value FER_WHERE_PARAM) {
  return block_reduce(
      value, T(0), SumOf {} FER_WHERE_PASS);
}
template <typename T>
__device__ __forceinline__ T block_max(T value FER_WHERE_PARAM) {
  return block_reduce(
      value, gpu::lowest<T>(), MaxOf {} FER_WHERE_PASS);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
