// Shared by the convolution's passes: the extents of one call, and the direct and Winograd implementations
// that conv2d.cpp chooses from.
#pragma once

#include <cstdint>

#include "cpu/gemm.h"
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

/// The extents of a call. Throws ShapeError, naming `op`, if the tensors do not fit together.
ConvShape conv_shape(const char* op, const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                     const Tensor& y);

/// The operands of a forward pass besides x. A null operand is absent.
template <typename T>
struct ConvOperands {
  const T* weight = nullptr;  ///< O x kh x kw x I/groups
  const T* packed = nullptr;  ///< the weight in the implementation's layout; if null, the call packs `weight`
  const T* border = nullptr;  ///< I: the values around x, instead of zeros
  Epilogue<T> epilogue{};
};

template <typename T>
void direct_conv_forward(const ConvShape& s, const T* x, const ConvOperands<T>& operands, T* y);
/// The number of elements of the packed weight, and the packing, for direct_conv_forward.
template <typename T>
std::int64_t direct_conv_packed_size(const ConvShape& s);
template <typename T>
void direct_conv_pack(const ConvShape& s, const T* weight, T* packed);
template <typename T>
void direct_conv_backward_input(const ConvShape& s, const T* dy, const T* weight, T* dx);
template <typename T>
void direct_conv_backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight);

/// The depthwise convolution. Its weights are ordered by tap, kh x kw x C, as depthwise_pack makes them. It
/// does not add a residual.
template <typename T>
void depthwise_pack(const ConvShape& s, const T* weight, T* packed);
template <typename T>
void depthwise_forward(const ConvShape& s, const T* x, const T* packed, const Epilogue<T>& epilogue, T* y);

}  // namespace fer::detail
