// Shared by the classification losses of a device: the check of labels and the softmax of one row.
#pragma once

#include "cpu/labels.h"
#include "cuda/op_support.h"
#include "fer/tensor/device_runtime.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// Checks that each sample has one label (int64) in 0 .. classes - 1. Waits for the device; that is
/// acceptable in a forward pass, because the host waits for the loss anyway. Backward kernels rely on the
/// forward pass's check, but never use an invalid label as an index. A captured step cannot wait, so there
/// the check is skipped and the caller must have checked the labels.
inline void check_labels(const char* op, const Tensor& labels, index_t samples, index_t classes) {
  if (is_capturing(labels.device())) return;
  (void)fer::detail::checked_labels(op, labels.to(Device::cpu), samples, classes);
}

__device__ __forceinline__ float log1p_of(float x) {
  return ::log1pf(x);
}
__device__ __forceinline__ double log1p_of(double x) {
  return ::log1p(x);
}

/// The softmax of a row of scores, computed by one thread: softmax_k = exp(x_k - max) / sum. A warp has 32
/// neighbouring rows, a contiguous piece of memory, whose lines stay in the L1 cache while the loops walk
/// along the rows. T may be wider than the type of the scores.
template <typename T>
struct RowSoftmax {
  T max;
  T sum;      ///< of exp(x_k - max); at least 1
  T log_sum;  ///< log(sum), precise even if all classes but one have a total far below epsilon

  template <typename Score>
  __device__ __forceinline__ RowSoftmax(const Score* x, int classes) {
    int top = 0;
    Score best = x[0];
    for (int k = 1; k < classes; ++k) {
      if (x[k] > best) {
        best = x[k];
        top = k;
      }
    }
    max = static_cast<T>(best);
    T rest = 0;
    for (int k = 0; k < classes; ++k) {
      if (k != top) rest += gpu::exp(static_cast<T>(x[k]) - max);
    }
    const T first = gpu::exp(max - max);  // 1, or NaN if the maximum is not finite
    sum = first + rest;
    log_sum = first * log1p_of(rest);
  }

  /// -sum_k p_k log p_k of the same row, in nats, as log_sum + sum_k p_k (max - x_k). Neither term is
  /// negative, so nothing cancels.
  template <typename Score>
  __device__ __forceinline__ T entropy(const Score* x, int classes) const {
    T spread = 0;
    for (int k = 0; k < classes; ++k) {
      const T weight = gpu::exp(static_cast<T>(x[k]) - max);
      if (weight != 0) spread += weight * (max - static_cast<T>(x[k]));  // a score of -inf adds nothing
    }
    return log_sum + spread / sum;
  }
};

}  // namespace fer::FER_DEVICE_NAMESPACE
