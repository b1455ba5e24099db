// Inner loops of the depthwise convolution, vectorised over channels and compiled once per instruction set.
// Weights come as [tap][channel].
#pragma once

#include <cstdint>

namespace fer::detail {

/// What follows an output: y = prelu(y + bias, slope); null is none.
template <typename T>
struct DepthwiseEpilogue {
  const T *bias = nullptr, *slope = nullptr;  ///< channels
};

template <typename T>
struct DepthwiseKernels {
  /// y[c] = sum over t < terms of x[t][c] * w[t][c], finished. Serves every case: borders, any size and
  /// stride.
  void (*weighted_sum)(const T* const* x, const T* const* w, std::int64_t terms, std::int64_t channels,
                       const DepthwiseEpilogue<T>& epilogue, T* y);
  /// `count` neighbouring outputs of a line that do not touch the left or right border. x[r]: the input pixel
  /// under the first column of the first output's kernel row r, or null if that row is padding.
  /// Returns false, having done nothing, for sizes that have no such kernel (there is one for 3x3 and 7x7 at
  /// strides 1, 2).
  bool (*line)(const T* const* x, std::int64_t kernel, std::int64_t stride, const T* w, std::int64_t count,
               std::int64_t channels, const DepthwiseEpilogue<T>& epilogue, T* y);
  /// dw[r][s][c] += sum over `count` neighbouring outputs of dy[c] * x under the tap; arguments as for
  /// `line`.
  bool (*line_weight)(const T* const* x, std::int64_t kernel, std::int64_t stride, const T* dy,
                      std::int64_t count, std::int64_t channels, T* dw);
  /// sum[c] += x[c] * y[c].
  void (*add_product)(const T* x, const T* y, std::int64_t channels, T* sum);
};

template <typename T>
const DepthwiseKernels<T>& depthwise_kernels();

}  // namespace fer::detail
