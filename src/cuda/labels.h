// What the classification losses of a device share: the check of labels and the softmax of one row.
#pragma once

#include "cpu/labels.h"
#include "cuda/op_support.h"
#include "fer/tensor/device_runtime.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// Checks that there is one label (int64) a sample and each is a class in 0 .. classes - 1. Waits for the
/// device, which forward passes may: a loss is where the host waits anyway. Kernels of backward passes trust
/// their forward pass, and read nothing through a label that is no class. A captured step waits for nothing:
/// there, whoever gives it labels has checked them.
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

/// A row of scores relative to its maximum, computed by one thread: softmax_k = exp(x_k - max) / sum. A warp
/// has 32 neighbouring rows, one contiguous piece of memory, whose lines stay in the first-level cache while
/// its loops walk along the rows. T may be wider than the scores.
template <typename T>
struct RowSoftmax {
  T max;
  T sum;      ///< of exp(x_k - max); at least 1
  T log_sum;  ///< its logarithm, precise also where one class has all but a rest far below epsilon

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

  /// -sum_k p_k log p_k of the same row, in nats: both terms of log_sum + sum_k p_k (max - x_k) are positive.
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
