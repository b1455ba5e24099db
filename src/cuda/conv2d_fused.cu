// Fused convolution for inference: y = prelu(conv2d(x, weight) + bias, slope) + residual.
//   Blocks and threads work as in conv2d.cu and depthwise_conv2d.cu. Bias, PReLU and residual are applied to
//   a sum in its register before it is stored, or once all parts of k are added. With a border b instead of
//   zero padding, a tap outside the image reads b[i] (BorderedPatchRows). That costs one more comparison per
//   load, and only if there is a border.
//   Floor: that of conv2d.cu or depthwise_conv2d.cu, plus 4 bytes per output in float for a residual.
#include "cuda/conv2d_product.h"
#include "cuda/depthwise_conv2d.h"
#include "cuda/device_backend.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

/// PReLU and residual, applied to a sum that already includes the bias. Both pointers may be null.
template <typename S>
struct Finish {
  using T = Wide<S>;
  const T* all_slopes;
  const S* residual;

  __device__ __forceinline__ T slope(int channel) const {
    return all_slopes == nullptr ? T(1) : all_slopes[channel];
  }
  __device__ __forceinline__ T operator()(T value, T slope, index_t i) const {
    const T z = value > T(0) ? value : value * slope;
    return residual == nullptr ? z : z + widen(residual[i]);
  }
};

template <typename S>
struct FusedStore : MatrixStore<S> {
  Finish<S> finish;
  __device__ __forceinline__ void put(S* at, int n, Wide<S> value) const {
    *at = narrow<S>(finish(value, finish.slope(n), at - this->data));
  }
};

template <typename S>
struct FusedDepthwiseStore {
  using T = Wide<S>;
  struct Channel {
    T bias, slope;
  };
  S* y;
  const T* bias;
  Finish<S> finish;
  __device__ __forceinline__ Channel channel(int c) const {
    return {bias == nullptr ? T(0) : bias[c], finish.slope(c)};
  }
  __device__ __forceinline__ void put(const Channel& c, index_t i, T sum) const {
    y[i] = narrow<S>(finish(sum + c.bias, c.slope, i));
  }
};

template <typename S>
Finish<S> finish_of(const Conv2dEpilogue& epilogue) {
  return {data_or_null<Wide<S>>(epilogue.slope), stored_or_null<S>(epilogue.residual)};
}

}  // namespace

std::shared_ptr<PackedConv2d> DeviceBackend::pack_conv2d(const Tensor& weight, const Conv2dOptions& options) {
  return std::make_shared<PackedConv2d>(weight, options);  // these kernels read the weight as it is
}

void DeviceBackend::conv2d_fused_forward(const Tensor& x, PackedConv2d& packed, const Tensor& border,
                                         const Conv2dEpilogue& epilogue, Tensor& y) {
  const Tensor& weight = packed.weight;
  const ConvShape s = conv2d_fused_shape(x, packed, border, epilogue, y);
  if (s.groups > 1) {
    return dispatch_stored(y.dtype(), "conv2d_fused", [&]<typename S>() {
      using T = Wide<S>;
      depthwise_forward(stream_, s, stored<S>(x), weight.data<T>(),
                        FusedDepthwiseStore<S>{mutable_stored<S>(y), data_or_null<T>(epilogue.bias),
                                               finish_of<S>(epilogue)});
    });
  }
  dispatch_product(
      *this, "conv2d_fused", y.dtype(), x, weight, [&]<typename S, typename T>(const T* from, const T* by) {
        const FusedStore<S> store{{mutable_stored<S>(y), s.out, 0, data_or_null<Wide<S>>(epilogue.bias), 0},
                                  finish_of<S>(epilogue)};
        if (is_product(s)) {
          const index_t pixels = s.out_pixels();
          product(*this, stream_, pixels, s.out, s.in, 1,
                  MatrixLoader<T, true>{from, product_extent(pixels), s.in, 1, 0},
                  MatrixLoader<T, true>{by, s.out, s.in, 1, 0}, store);
        } else if (border.defined() && s.padding > 0) {
          const Tensor outside = border.to(std::is_same_v<T, bf16> ? DType::bfloat16 : y.dtype());
          const BorderedPatchRows<T> patches{{{from, s}}, static_cast<const T*>(outside.raw())};
          conv2d_product(*this, stream_, s, patches, by, store);
        } else {
          conv2d_product(*this, stream_, s, PatchRows<T>{{from, s}}, by, store);
        }
      });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
