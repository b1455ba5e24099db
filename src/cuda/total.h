// Sums that end in one number: losses and norms. Every block adds its terms in double, and a second launch
// with one block adds the blocks' sums in a fixed order. If there is only one block, it writes the result
// itself. The order depends only on the number of terms.
#pragma once

#include "cuda/op_support.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// Receives the sum of each block. If `partial` is null, there is one block and its sum is the total.
template <typename Finish>
struct TotalSink {
  double* partial;
  Finish finish;

  /// Adds up `value` over the block. All its threads must call; their number is a multiple of 32.
  __device__ __forceinline__ void add(double value) const {
    const double sum = block_sum(value);
    if (thread_rank() != 0) return;
    if (partial != nullptr) {
      partial[blockIdx.x] = sum;
    } else {
      finish(sum);
    }
  }
};

/// finish(sum of partial). One block: each thread adds every 256th part, then a tree adds the threads' sums.
template <typename Finish>
__global__ void total_kernel(const double* partial, index_t parts, Finish finish) {
  double sum = 0;
  for (index_t i = threadIdx.x; i < parts; i += blockDim.x) sum += partial[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) finish(sum);
}

/// launch(sink) launches a kernel of `blocks` blocks, each of which calls sink.add once. finish(total) runs
/// on the device after the last sum.
template <typename Finish, typename Launch>
void total(Backend& owner, gpu::Stream stream, index_t blocks, Finish finish, const Launch& launch) {
  const DeviceArray<double> partial(owner, blocks > 1 ? blocks : 0);
  launch(TotalSink<Finish>{partial.data(), finish});
  if (blocks > 1) gpu::launch(total_kernel<Finish>, 1, 256, 0, stream, partial.data(), blocks, finish);
}

/// y = total / divisor.
template <typename T>
struct StoreQuotient {
  T* y;
  double divisor;
  __device__ __forceinline__ void operator()(double total) const { *y = static_cast<T>(total / divisor); }
};

}  // namespace fer::FER_DEVICE_NAMESPACE
