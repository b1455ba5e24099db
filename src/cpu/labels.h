// Shared by the CPU's classification losses: the check of labels and the softmax of one row.
#pragma once

#include <cmath>
#include <cstdint>

#include "fer/error.h"
#include "fer/tensor/tensor.h"

namespace fer::detail {

/// Checks that there is one label (int64) per sample and that each is in 0 .. classes - 1.
inline const std::int64_t* checked_labels(const char* op, const Tensor& labels, std::int64_t samples,
                                          std::int64_t classes) {
  require<ShapeError>(labels.numel() == samples, "[", op, "] ", samples, " samples need as many labels, got ",
                      labels.shape());
  const std::int64_t* label = labels.data<std::int64_t>();
  for (std::int64_t i = 0; i < samples; ++i) {
    require<DataError>(label[i] >= 0 && label[i] < classes, "[", op, "] label ", label[i], " of sample ", i,
                       " is not a class: classes are 0 to ", classes - 1);
  }
  return label;
}

/// A row x of scores, relative to its maximum: softmax_k = exp(x_k - max) / sum.
template <typename T>
struct RowSoftmax {
  T max;
  T sum;      ///< of exp(x_k - max); at least 1
  T log_sum;  ///< log(sum), precise even if the other classes add far less than epsilon to 1

  RowSoftmax(const T* x, std::int64_t classes) {
    std::int64_t top = 0;
    for (std::int64_t k = 1; k < classes; ++k) {
      if (x[k] > x[top]) top = k;
    }
    max = x[top];
    T rest = 0;
    for (std::int64_t k = 0; k < classes; ++k) {
      if (k != top) rest += std::exp(x[k] - max);
    }
    const T first = std::exp(x[top] - max);  // 1, or NaN if the maximum is not finite
    sum = first + rest;
    log_sum = first * std::log1p(rest);
  }

  /// -sum_k p_k log p_k of the same row, in nats, as log_sum + sum_k p_k (max - x_k). Neither term is
  /// negative, so nothing cancels.
  T entropy(const T* x, std::int64_t classes) const {
    T spread = 0;
    for (std::int64_t k = 0; k < classes; ++k) {
      const T weight = std::exp(x[k] - max);
      if (weight != 0) spread += weight * (max - x[k]);  // a score of -inf adds nothing
    }
    return log_sum + spread / sum;
  }
};

}  // namespace fer::detail
