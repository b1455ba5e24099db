// Shared by the convolution's passes: the extents of one call, and the direct and Winograd implementations
// among which conv2d.cpp chooses.
#pragma once

#include <cstdint>

#include "fer/tensor/backend.h"

namespace fer::detail {

/// The extents of a convolution: x N x H x W x I, weight O x kh x kw x I/groups, y N x H' x W' x O.
struct ConvShape {
  std::int64_t n = 0, h = 0, w = 0, in = 0;
  std::int64_t out_h = 0, out_w = 0, out = 0;
  std::int64_t kh = 0, kw = 0;
  std::int64_t stride = 1, padding = 0, groups = 1;

  std::int64_t group_in() const { return in / groups; }
  std::int64_t group_out() const { return out / groups; }
  std::int64_t taps() const { return kh * kw; }
  std::int64_t out_pixels() const { return n * out_h * out_w; }
};

/// The extents of a call; ShapeError naming `op` if the tensors do not fit together.
ConvShape conv_shape(const char* op, const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                     const Tensor& y);

template <typename T>
void direct_conv_forward(const ConvShape& s, const T* x, const T* weight, const T* bias, T* y);
template <typename T>
void direct_conv_backward_input(const ConvShape& s, const T* dy, const T* weight, T* dx);
template <typename T>
void direct_conv_backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight);

}  // namespace fer::detail
