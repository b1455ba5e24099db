// The dimensions that an operation loops over, innermost first. Neighbours are merged if their strides allow
// it in all of the operation's tensors, so the usual cases have one or two dimensions. They are plain arrays,
// because kernels take them by value.
#pragma once

#include <cstdint>
#include <span>

#include "fer/tensor/shape.h"

namespace fer {

/// For two operands that broadcast to one shape.
struct BroadcastDims {
  static constexpr int most = Shape::max_rank + 1;
  int rank = 0;
  std::int64_t extent[most] = {}, a[most] = {}, b[most] = {};  ///< strides are 0 where an operand broadcasts
};
BroadcastDims merge_broadcast(const Shape& full, const Shape& a, const Shape& b);

/// For a permutation, y[i] = x[order[i]]: the dimensions of y, and the strides of x and y along each.
struct PermutedDims {
  int rank = 0;
  std::int64_t extent[Shape::max_rank] = {}, x_stride[Shape::max_rank] = {}, y_stride[Shape::max_rank] = {};
};
PermutedDims merge_permuted(const Shape& x, std::span<const int> order);

}  // namespace fer
