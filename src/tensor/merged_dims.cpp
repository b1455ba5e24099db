#include "tensor/merged_dims.h"

#include <cstddef>

namespace fer {

BroadcastDims merge_broadcast(const Shape& full, const Shape& a, const Shape& b) {
  BroadcastDims dims;
  std::int64_t size_a = 1, size_b = 1;
  for (int i = 1; i <= full.rank(); ++i) {
    const std::int64_t n = full[-i], na = i <= a.rank() ? a[-i] : 1, nb = i <= b.rank() ? b[-i] : 1;
    const std::int64_t stride_a = na == 1 ? 0 : size_a, stride_b = nb == 1 ? 0 : size_b;
    size_a *= na;
    size_b *= nb;
    if (n == 1) continue;
    const int last = dims.rank - 1;
    if (last >= 0 && stride_a == dims.a[last] * dims.extent[last] &&
        stride_b == dims.b[last] * dims.extent[last]) {
      dims.extent[last] *= n;
    } else {
      dims.extent[dims.rank] = n;
      dims.a[dims.rank] = stride_a;
      dims.b[dims.rank] = stride_b;
      ++dims.rank;
    }
  }
  return dims;
}

PermutedDims merge_permuted(const Shape& x, std::span<const int> order) {
  std::int64_t strides[Shape::max_rank] = {};
  std::int64_t stride = 1;
  for (int i = x.rank() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= x[i];
  }
  PermutedDims dims;
  std::int64_t y_stride = 1;
  for (int i = x.rank() - 1; i >= 0; --i) {
    const int from = order[static_cast<std::size_t>(i)];
    const std::int64_t n = x[from], x_stride = strides[from];
    if (n == 1) continue;
    const int last = dims.rank - 1;
    if (last >= 0 && x_stride == dims.x_stride[last] * dims.extent[last]) {
      dims.extent[last] *= n;
    } else {
      dims.extent[dims.rank] = n;
      dims.x_stride[dims.rank] = x_stride;
      dims.y_stride[dims.rank] = y_stride;
      ++dims.rank;
    }
    y_stride *= n;
  }
  return dims;
}

}  // namespace fer
