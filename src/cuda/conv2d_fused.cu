// Convolution with all that follows it, for inference: y = prelu(conv2d(x, weight) + bias, slope) + residual.
//   The convolution is that of conv2d.cu or depthwise_conv2d.cu; everything after it is one pass of
//   column_map.h over y, in place. A border b around x instead of zeros is a convolution of x - b surrounded
//   by zeros, plus one of a map that is b everywhere, which is the same at every pixel: sum over (r, s, i) of
//   w[o; r, s, i] b[i]. That constant joins the bias. Floor: conv2d.cu's, and 8 bytes an output in float, 12
//   with a residual.
#include "cuda/column_map.h"
#include "cuda/device_backend.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

/// y = prelu(y + bias + border's share, slope) + residual, each of which may be null.
template <typename T>
struct FinishConv2d {
  const T *bias, *border_share, *slope, *residual;
  T* y;
  struct Channel {
    T offset, slope;
  };
  struct Loaded {
    T sum, residual;
  };
  __device__ __forceinline__ Channel channel(int c) const {
    const T share = border_share == nullptr ? T(0) : border_share[c];
    return {share + (bias == nullptr ? T(0) : bias[c]), slope == nullptr ? T(1) : slope[c]};
  }
  __device__ __forceinline__ Loaded load(index_t i) const {
    return {y[i], residual == nullptr ? T(0) : residual[i]};
  }
  __device__ __forceinline__ void store(const Channel& c, index_t i, const Loaded& v) const {
    const T z = v.sum + c.offset;
    y[i] = (z > T(0) ? z : z * c.slope) + v.residual;
  }
};

/// share[o] = sum over (r, s, i) of w[o; r, s, i] border[i]: a thread an output channel, once a call.
template <typename T>
__global__ void border_share_kernel(const T* weight, const T* border, index_t outputs, index_t taps,
                                    index_t in, T* share) {
  for (index_t o = first_item(); o < outputs; o += item_step()) {
    double sum = 0;
    for (index_t k = 0; k < taps * in; ++k) {
      sum += static_cast<double>(weight[o * taps * in + k]) * static_cast<double>(border[k % in]);
    }
    share[o] = static_cast<T>(sum);
  }
}

}  // namespace

std::shared_ptr<PackedConv2d> DeviceBackend::pack_conv2d(const Tensor& weight, const Conv2dOptions& options) {
  return std::make_shared<PackedConv2d>(weight, options);  // these kernels read the weight as it is
}

void DeviceBackend::conv2d_fused_forward(const Tensor& x, PackedConv2d& packed, const Tensor& border,
                                         const Conv2dEpilogue& epilogue, Tensor& y) {
  const Tensor& weight = packed.weight;
  require<ShapeError>(x.rank() == 4 && y.rank() == 4 && weight.rank() == 4,
                      "[conv2d_fused] needs x, weight and y of ", "rank 4, got ", x.shape(), ", ",
                      weight.shape(), " and ", y.shape());
  const index_t channels = y.shape().channels(), in = x.shape().channels();
  const bool depthwise = packed.options.groups > 1;
  require<ShapeError>(!depthwise || (packed.options.groups == in && in == channels), "[conv2d_fused] ",
                      packed.options.groups, " groups of weight ", weight.shape(),
                      ": only 1, or one a channel");
  require<ShapeError>(!depthwise || !border.defined(),
                      "[conv2d_fused] a depthwise convolution has no border");
  if (border.defined()) require_size("conv2d_fused", "border", border, in);
  if (epilogue.bias.defined()) require_size("conv2d_fused", "bias", epilogue.bias, channels);
  if (epilogue.slope.defined()) require_size("conv2d_fused", "slope", epilogue.slope, channels);
  if (epilogue.residual.defined()) require_size("conv2d_fused", "residual", epilogue.residual, y.numel());
  Tensor inner = x;
  if (border.defined()) {
    inner = Tensor::empty_like(x);
    binary(BinaryOp::sub, x, border, inner);
  }
  if (depthwise) {
    depthwise_conv2d_forward(inner, weight, packed.options, y);
  } else {
    conv2d_forward(inner, weight, Tensor(), packed.options, y);
  }
  dispatch_floating(y.dtype(), "conv2d_fused", [&]<typename T>() {
    const DeviceArray<T> share(*this, border.defined() ? channels : 0);
    if (border.defined()) {
      constexpr int threads = 64;
      gpu::launch(border_share_kernel<T>, blocks_for(channels, threads), threads, 0, stream_,
                  weight.data<T>(), border.data<T>(), channels, weight.dim(1) * weight.dim(2), in,
                  share.data());
    }
    column_map(stream_, y.shape().rows(), channels,
               FinishConv2d<T>{data_or_null<T>(epilogue.bias), share.data(), data_or_null<T>(epilogue.slope),
                               data_or_null<T>(epilogue.residual), y.mutable_data<T>()});
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
