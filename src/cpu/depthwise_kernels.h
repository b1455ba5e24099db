// Inner loops of the depthwise convolution, vectorised over channels and compiled once per instruction set.
// Weights come as [tap][channel].
#pragma once

#include <cstdint>

namespace fer::detail {

/// What is applied to an output: y = prelu(y + bias, slope). A null pointer leaves its part out.
template <typename T>
struct DepthwiseEpilogue {
  const T *bias = nullptr, *slope = nullptr;  ///< channels
};

template <typename T>
struct DepthwiseKernels {
  /// y[c] = sum over t < terms of x[t][c] * w[t][c], then the epilogue. For border pixels and for kernel
  /// sizes and strides that `line` does not support.
  void (*weighted_sum)(const T* const* x, const T* const* w, std::int64_t terms, std::int64_t channels,
                       const DepthwiseEpilogue<T>& epilogue, T* y);
  /// Computes `count` neighbouring outputs of a line whose kernels reach into neither the left nor the right
  /// padding. x[r]: the input pixel under the first column of the first output's kernel row r, or null if
  /// that row is padding. Supports 3x3 and 7x7 at strides 1 and 2. Otherwise returns false and does nothing.
  bool (*line)(const T* const* x, std::int64_t kernel, std::int64_t stride, const T* w, std::int64_t count,
               std::int64_t channels, const DepthwiseEpilogue<T>& epilogue, T* y);
  /// dw[r][s][c] += sum over `count` neighbouring outputs of dy[c] * x under the tap. Arguments and result
  /// are like those of `line`, but any stride is supported.
  bool (*line_weight)(const T* const* x, std::int64_t kernel, std::int64_t stride, const T* dy,
                      std::int64_t count, std::int64_t channels, T* dw);
  /// sum[c] += x[c] * y[c].
  void (*add_product)(const T* x, const T* y, std::int64_t channels, T* sum);
};

template <typename T>
const DepthwiseKernels<T>& depthwise_kernels();

}  // namespace fer::detail
