// Convolution,
//   y[n,oh,ow,o] = bias[o] + sum_{r,s,i} x[n, oh*stride+r-padding, ow*stride+s-padding, i] w[o,r,s,i]:
// checks the shapes and chooses an implementation.
#include "cpu/conv2d.h"

#include <type_traits>

#include "cpu/cpu_backend.h"
#include "cpu/gemm.h"
#include "cpu/winograd.h"

namespace fer {
namespace detail {

ConvShape conv_shape(const char* op, const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                     const Tensor& y) {
  require<ShapeError>(x.rank() == 4 && weight.rank() == 4 && y.rank() == 4, "[", op,
                      "] needs x, weight and y of rank 4, got ", x.shape(), ", ", weight.shape(), ", ",
                      y.shape());
  require<ShapeError>(options.stride >= 1 && options.padding >= 0 && options.groups >= 1, "[", op,
                      "] needs stride >= 1, padding >= 0, groups >= 1, got ", options.stride, ", ",
                      options.padding, ", ", options.groups);
  ConvShape s;
  s.n = x.dim(0), s.h = x.dim(1), s.w = x.dim(2), s.in = x.dim(3);
  s.out_h = y.dim(1), s.out_w = y.dim(2), s.out = y.dim(3);
  s.kh = weight.dim(1), s.kw = weight.dim(2);
  s.stride = options.stride, s.padding = options.padding, s.groups = options.groups;
  const bool channels = s.in % s.groups == 0 && s.out % s.groups == 0 && weight.dim(0) == s.out &&
                        weight.dim(3) == s.in / s.groups;
  const std::int64_t padded_h = s.h + 2 * s.padding, padded_w = s.w + 2 * s.padding;
  const bool extents = padded_h >= s.kh && padded_w >= s.kw && s.kh >= 1 && s.kw >= 1 &&
                       s.out_h == (padded_h - s.kh) / s.stride + 1 &&
                       s.out_w == (padded_w - s.kw) / s.stride + 1;
  require<ShapeError>(channels && extents && y.dim(0) == s.n, "[", op, "] x ", x.shape(), ", weight ",
                      weight.shape(), " and y ", y.shape(), " do not fit with stride ", s.stride,
                      ", padding ", s.padding, ", groups ", s.groups);
  return s;
}

namespace {

// A 1x1 convolution at stride 1 without padding is a matrix product over the pixels.
bool is_product(const ConvShape& s) {
  return s.taps() == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1;
}

}  // namespace
}  // namespace detail

using detail::ConvShape;
using detail::matrix;

namespace {

// Winograd's tile, or 0 for the direct convolution. float64 is meant for checks and is always direct.
template <typename T>
int winograd_tile(const ConvShape& s) {
  return std::is_same_v<T, float> ? detail::winograd_tile(s) : 0;
}
template <typename T>
int winograd_weight_tile(const ConvShape& s) {
  return std::is_same_v<T, float> ? detail::winograd_weight_tile(s) : 0;
}

}  // namespace

void CpuBackend::conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                const Conv2dOptions& options, Tensor& y) {
  const ConvShape s = detail::conv_shape("conv2d", x, weight, options, y);
  require<ShapeError>(!bias.defined() || bias.numel() == s.out, "[conv2d] bias ", bias.shape(), " for ",
                      s.out, " output channels");
  if (y.numel() == 0) return;
  dispatch_floating(y.dtype(), "conv2d", [&]<typename T>() {
    const T* b = bias.defined() ? bias.data<T>() : nullptr;
    detail::ConvOperands<T> operands;
    operands.weight = weight.data<T>();
    operands.epilogue.bias = b;
    if (detail::is_product(s)) {
      detail::gemm(matrix(x.data<T>(), s.out_pixels(), s.in),
                   matrix(weight.data<T>(), s.out, s.in).transposed(), y.mutable_data<T>(), s.out, b);
    } else if (const int m = winograd_tile<T>(s); m != 0) {
      if constexpr (std::is_same_v<T, float>)
        detail::winograd_forward(m, s, x.data<T>(), operands, y.mutable_data<T>());
    } else {
      detail::direct_conv_forward(s, x.data<T>(), operands, y.mutable_data<T>());
    }
  });
}

void CpuBackend::conv2d_backward_input(const Tensor& dy, const Tensor& weight, const Conv2dOptions& options,
                                       Tensor& dx) {
  const ConvShape s = detail::conv_shape("conv2d_backward_input", dx, weight, options, dy);
  if (dx.numel() == 0) return;
  dispatch_floating(dx.dtype(), "conv2d_backward_input", [&]<typename T>() {
    if (detail::is_product(s)) {
      detail::gemm(matrix(dy.data<T>(), s.out_pixels(), s.out), matrix(weight.data<T>(), s.out, s.in),
                   dx.mutable_data<T>(), s.in);
    } else if (const int m = winograd_tile<T>(s); m != 0) {
      if constexpr (std::is_same_v<T, float>)
        detail::winograd_backward_input(m, s, dy.data<T>(), weight.data<T>(), dx.mutable_data<T>());
    } else {
      detail::direct_conv_backward_input(s, dy.data<T>(), weight.data<T>(), dx.mutable_data<T>());
    }
  });
}

void CpuBackend::conv2d_backward_weight(const Tensor& x, const Tensor& dy, const Conv2dOptions& options,
                                        Tensor& dweight, Tensor& dbias) {
  const ConvShape s = detail::conv_shape("conv2d_backward_weight", x, dweight, options, dy);
  require<ShapeError>(!dbias.defined() || dbias.numel() == s.out, "[conv2d_backward_weight] dbias ",
                      dbias.shape(), " for ", s.out, " output channels");
  dispatch_floating(dweight.dtype(), "conv2d_backward_weight", [&]<typename T>() {
    if (detail::is_product(s)) {
      detail::product_over_rows(matrix(dy.data<T>(), s.out_pixels(), s.out),
                                matrix(x.data<T>(), s.out_pixels(), s.in), dweight.mutable_data<T>(), s.in);
    } else if (const int m = winograd_weight_tile<T>(s); m != 0) {
      if constexpr (std::is_same_v<T, float>)
        detail::winograd_backward_weight(m, s, x.data<T>(), dy.data<T>(), dweight.mutable_data<T>());
    } else {
      detail::direct_conv_backward_weight(s, x.data<T>(), dy.data<T>(), dweight.mutable_data<T>());
    }
    if (dbias.defined()) detail::column_sums(dy.data<T>(), s.out_pixels(), s.out, dbias.mutable_data<T>());
  });
}

}  // namespace fer
