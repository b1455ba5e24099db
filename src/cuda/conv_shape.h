// The extents of a convolution, and the check that they fit together.
#pragma once

#include <cstdint>

#include "cuda/op_support.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// x: n x h x w x in, y: n x out_h x out_w x out, weight: out x kh x kw x in / groups.
struct ConvShape {
  index_t n = 0;
  int h = 0, w = 0, in = 0, out_h = 0, out_w = 0, out = 0;
  int kh = 0, kw = 0, stride = 1, padding = 0, groups = 1;
  int in_group = 0, out_group = 0;  ///< channels of a group

  __host__ __device__ index_t out_pixels() const { return n * out_h * out_w; }
  __host__ __device__ index_t pixels() const { return n * h * w; }
  __host__ __device__ int taps() const { return kh * kw; }
};

inline ConvShape conv_shape(const char* op, const Tensor& x, const Tensor& weight,
                            const Conv2dOptions& options, const Tensor& y) {
  require<ShapeError>(x.rank() == 4 && weight.rank() == 4 && y.rank() == 4, "[", op,
                      "] needs x, weight and y of rank 4, got ", x.shape(), ", ", weight.shape(), ", ",
                      y.shape());
  require<ShapeError>(options.stride >= 1 && options.padding >= 0 && options.groups >= 1, "[", op,
                      "] needs stride >= 1, padding >= 0, groups >= 1, got ", options.stride, ", ",
                      options.padding, ", ", options.groups);
  const index_t in = x.dim(3), out = y.dim(3), kh = weight.dim(1), kw = weight.dim(2);
  const index_t padded_h = x.dim(1) + 2 * index_t{options.padding};
  const index_t padded_w = x.dim(2) + 2 * index_t{options.padding};
  const bool channels = in % options.groups == 0 && out % options.groups == 0 && weight.dim(0) == out &&
                        weight.dim(3) == in / options.groups;
  const bool extents = padded_h >= kh && padded_w >= kw && kh >= 1 && kw >= 1 &&
                       y.dim(1) == (padded_h - kh) / options.stride + 1 &&
                       y.dim(2) == (padded_w - kw) / options.stride + 1;
  require<ShapeError>(channels && extents && x.dim(0) == y.dim(0), "[", op, "] x ", x.shape(), ", weight ",
                      weight.shape(), " and y ", y.shape(), " do not fit with stride ", options.stride,
                      ", padding ", options.padding, ", groups ", options.groups);
  constexpr index_t most = 0x7fffffff;
  require<ShapeError>(padded_h * padded_w <= most && in * kh * kw <= most && out <= most, "[", op,
                      "] images of ", x.shape(), " are too large for this device's kernels");
  ConvShape s;
  s.n = x.dim(0), s.h = static_cast<int>(x.dim(1)), s.w = static_cast<int>(x.dim(2));
  s.in = static_cast<int>(in), s.out = static_cast<int>(out);
  s.out_h = static_cast<int>(y.dim(1)), s.out_w = static_cast<int>(y.dim(2));
  s.kh = static_cast<int>(kh), s.kw = static_cast<int>(kw);
  s.stride = options.stride, s.padding = options.padding, s.groups = options.groups;
  s.in_group = s.in / s.groups, s.out_group = s.out / s.groups;
  return s;
}

/// The shape of conv2d_fused_forward. Checks all operands.
inline ConvShape conv2d_fused_shape(const Tensor& x, const PackedConv2d& packed, const Tensor& border,
                                    const Conv2dEpilogue& epilogue, const Tensor& y) {
  constexpr const char* op = "conv2d_fused";
  const ConvShape s = conv_shape(op, x, packed.weight, packed.options, y);
  const bool depthwise = s.groups > 1;
  require<ShapeError>(!depthwise || (s.groups == s.in && s.in == s.out), "[", op, "] ", s.groups,
                      " groups of weight ", packed.weight.shape(), ": only 1, or one a channel");
  require<ShapeError>(!depthwise || !border.defined(), "[", op, "] a depthwise convolution has no border");
  if (border.defined()) require_size(op, "border", border, s.in);
  if (epilogue.bias.defined()) require_size(op, "bias", epilogue.bias, s.out);
  if (epilogue.slope.defined()) require_size(op, "slope", epilogue.slope, s.out);
  if (epilogue.residual.defined()) require_size(op, "residual", epilogue.residual, y.numel());
  return s;
}

}  // namespace fer::FER_DEVICE_NAMESPACE
