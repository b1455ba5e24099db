// Convolution fused with what follows it, for inference. The first call with a shape packs the weights in the
// layout of the implementation that fits the shape. Bias, PReLU and residual are applied to a sum while it is
// still in registers.
#include <array>
#include <mutex>

#include "cpu/conv2d.h"
#include "cpu/cpu_backend.h"
#include "cpu/gemm.h"
#include "cpu/parallel.h"
#include "cpu/winograd.h"

namespace fer {
namespace {

using detail::ConvOperands;
using detail::ConvShape;

/// A weight and its layouts. Each layout is made on first use.
struct CpuPackedConv2d final : PackedConv2d {
  using PackedConv2d::PackedConv2d;

  /// The layout number `number`. On first use, `make` fills memory of `size` elements.
  template <typename T, typename Make>
  const T* layout(std::size_t number, std::int64_t size, const Make& make) {
    const std::lock_guard lock(mutex_);
    Tensor& packed = layouts_.at(number);
    if (!packed.defined()) {
      packed = Tensor::empty({size}, weight.dtype(), Device::cpu);
      make(packed.mutable_data<T>());
    }
    return packed.data<T>();
  }

 private:
  std::mutex mutex_;
  std::array<Tensor, 3> layouts_;  // direct, and Winograd with tiles of 2 and of 4
};

template <typename T>
void run(const ConvShape& s, const T* x, CpuPackedConv2d& weight, ConvOperands<T> operands, T* y) {
  const T* w = weight.weight.data<T>();
  if constexpr (std::is_same_v<T, float>) {
    if (const int m = detail::winograd_tile(s, true); m != 0) {
      operands.packed = weight.layout<T>(static_cast<std::size_t>(m / 2), detail::winograd_packed_size(m, s),
                                         [&](T* packed) { detail::winograd_pack(m, s, w, packed); });
      return detail::winograd_forward(m, s, x, operands, y);
    }
  }
  if (s.taps() == 1 && s.stride == 1 && s.padding == 0 && s.groups == 1) {
    operands.packed = weight.layout<T>(0, detail::packed_size<T>(s.in, s.out), [&](T* packed) {
      detail::pack(detail::matrix(w, s.out, s.in).transposed(), packed);
    });
    return detail::gemm_packed(detail::matrix(x, s.out_pixels(), s.in), operands.packed, s.out, y, s.out,
                               operands.epilogue);
  }
  operands.packed = weight.layout<T>(0, detail::direct_conv_packed_size<T>(s),
                                     [&](T* packed) { detail::direct_conv_pack(s, w, packed); });
  detail::direct_conv_forward(s, x, operands, y);
}

template <typename T>
void run_depthwise(const ConvShape& s, const T* x, CpuPackedConv2d& weight,
                   const detail::Epilogue<T>& epilogue, T* y) {
  const T* packed = weight.layout<T>(
      0, s.taps() * s.in, [&](T* by_tap) { detail::depthwise_pack(s, weight.weight.data<T>(), by_tap); });
  detail::depthwise_forward(s, x, packed, epilogue, y);
}

}  // namespace

std::shared_ptr<PackedConv2d> CpuBackend::pack_conv2d(const Tensor& weight, const Conv2dOptions& options) {
  require<ShapeError>(weight.rank() == 4, "[conv2d_fused] needs a weight of rank 4, got ", weight.shape());
  return std::make_shared<CpuPackedConv2d>(weight, options);
}

void CpuBackend::conv2d_fused_forward(const Tensor& x, PackedConv2d& weight, const Tensor& border,
                                      const Conv2dEpilogue& epilogue, Tensor& y) {
  auto* packed = dynamic_cast<CpuPackedConv2d*>(&weight);
  require<DeviceError>(packed != nullptr, "[conv2d_fused] the weight was packed for another device");
  const ConvShape s = detail::conv_shape("conv2d_fused", x, weight.weight, weight.options, y);
  const bool depthwise = s.groups > 1;
  require<ShapeError>(!depthwise || (s.groups == s.in && s.in == s.out), "[conv2d_fused] ", s.groups,
                      " groups of weight ", weight.weight.shape(), ": only 1, or one a channel");
  require<ShapeError>(!depthwise || !border.defined(),
                      "[conv2d_fused] a depthwise convolution has no border");
  if (border.defined()) detail::require_size("conv2d_fused", "border", border, s.in);
  if (epilogue.bias.defined()) detail::require_size("conv2d_fused", "bias", epilogue.bias, s.out);
  if (epilogue.slope.defined()) detail::require_size("conv2d_fused", "slope", epilogue.slope, s.out);
  if (epilogue.residual.defined())
    detail::require_size("conv2d_fused", "residual", epilogue.residual, y.numel());
  if (y.numel() == 0) return;
  dispatch_floating(y.dtype(), "conv2d_fused", [&]<typename T>() {
    const auto data = [](const Tensor& t) { return t.defined() ? t.data<T>() : nullptr; };
    ConvOperands<T> operands;
    operands.border = data(border);
    operands.epilogue = {data(epilogue.bias), data(epilogue.slope), data(epilogue.residual)};
    if (depthwise) {
      run_depthwise(s, x.data<T>(), *packed, operands.epilogue, y.mutable_data<T>());
    } else {
      run(s, x.data<T>(), *packed, operands, y.mutable_data<T>());
    }
  });
  if (depthwise && epilogue.residual.defined()) binary(BinaryOp::add, y, epilogue.residual, y);
}

}  // namespace fer
