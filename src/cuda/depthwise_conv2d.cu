// Depthwise convolution, each channel separately: y[n, oh, ow, c] = sum over (r, s) of
// x[n, oh stride + r - padding, ow stride + s - padding, c] w[c, r, s]; weight C x kh x kw x 1.
//   Forward and dx: threadIdx.x runs along channels, so that every tap of a warp is one contiguous read;
//   threadIdx.y and the loop run along pixels, so neighbouring pixels share cache lines. A block's weights
//   are copied to shared memory by tap, so that a warp's reads hit 32 different banks. dx gathers: a pixel's
//   thread adds up the outputs that read the pixel, so there are no atomics.
//   dw uses column_reduce.h over output pixels, with the taps of one row of the kernel as its terms.
//   Floor: bytes of x and y, which hide the 2 kh kw operations per element up to 7 x 7 in float.
#include "cuda/column_reduce.h"
#include "cuda/depthwise_conv2d.h"
#include "cuda/device_backend.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

ConvShape depthwise_shape(const char* op, const Tensor& x, const Tensor& weight, const Conv2dOptions& options,
                          const Tensor& y) {
  const ConvShape s = conv_shape(op, x, weight, options, y);
  require<ShapeError>(s.groups == s.in && s.in == s.out, "[", op, "] needs as many groups and outputs as ",
                      s.in, " channels, got ", s.groups, " and ", s.out);
  return s;
}

/// Pixel (row, column) of x is read by tap (r, c) of output ((row + padding - r) / stride, ...) if the
/// division is exact.
template <int kernel, typename S>
__global__ void depthwise_backward_input_kernel(ConvShape s, const S* dy, const Wide<S>* weight, S* dx,
                                                int channel_tiles) {
  using T = Wide<S>;
  FER_DYNAMIC_SHARED(T, w);
  const int width = static_cast<int>(blockDim.x), tx = static_cast<int>(threadIdx.x);
  const int first_channel = static_cast<int>(blockIdx.x % static_cast<unsigned>(channel_tiles)) * width;
  copy_weights(s, weight, first_channel, w);
  const int channel = first_channel + tx, kh = kernel ? kernel : s.kh, kw = kernel ? kernel : s.kw;
  if (channel >= s.in) return;
  const index_t pixels = s.pixels(), step = gridDim.x / static_cast<unsigned>(channel_tiles) * blockDim.y;
  index_t pixel =
      static_cast<index_t>(blockIdx.x / static_cast<unsigned>(channel_tiles)) * blockDim.y + threadIdx.y;
  for (; pixel < pixels; pixel += step) {
    const index_t line = pixel / s.w, n = line / s.h;
    const int row = static_cast<int>(line - n * s.h) + s.padding;
    const int column = static_cast<int>(pixel - line * s.w) + s.padding;
    const S* image = dy + n * s.out_h * s.out_w * s.out + channel;
    T sum = 0;
    FER_UNROLL
    for (int r = 0; r < kh; ++r) {
      const int oh = (row - r) / s.stride;
      if (row < r || oh * s.stride != row - r || oh >= s.out_h) continue;
      FER_UNROLL
      for (int c = 0; c < kw; ++c) {
        const int ow = (column - c) / s.stride;
        if (column < c || ow * s.stride != column - c || ow >= s.out_w) continue;
        const index_t at = (static_cast<index_t>(oh) * s.out_w + ow) * s.out;
        sum = gpu::fma(widen(image[at]), w[(r * kw + c) * width + tx], sum);
      }
    }
    dx[pixel * s.in + channel] = narrow<S>(sum);
  }
}

/// `taps` taps of a channel from group * taps on: a row of the kernel (taps is kw) or one tap (taps is 1).
template <int taps, typename S>
struct WeightTerm {
  ConvShape s;
  const S *x, *dy;

  __device__ __forceinline__ void operator()(index_t group, index_t pixel, int channel,
                                             double (&sums)[taps]) const {
    const int first = static_cast<int>(group) * taps, r = first / s.kw, c = first - r * s.kw;
    const index_t line = pixel / s.out_w, n = line / s.out_h;
    const int row = static_cast<int>(line - n * s.out_h) * s.stride - s.padding + r;
    if (row < 0 || row >= s.h) return;
    const int column = static_cast<int>(pixel - line * s.out_w) * s.stride - s.padding + c;
    const double g = widen_to_double(dy[pixel * s.out + channel]);
    const S* image = x + (n * s.h + row) * s.w * s.in + channel;
    FER_UNROLL
    for (int t = 0; t < taps; ++t) {
      if (column + t < 0 || column + t >= s.w) continue;
      sums[t] += g * widen_to_double(image[static_cast<index_t>(column + t) * s.in]);
    }
  }
};

template <int taps, typename T>
struct WeightStore {
  T* dweight;
  int all_taps;
  __device__ __forceinline__ void operator()(index_t group, index_t, int channel,
                                             const double (&sums)[taps]) const {
    FER_UNROLL
    for (int t = 0; t < taps; ++t) {
      dweight[static_cast<index_t>(channel) * all_taps + group * taps + t] = static_cast<T>(sums[t]);
    }
  }
};

template <int taps, typename S>
void backward_weight(DeviceBackend& owner, gpu::Stream stream, const ConvShape& s, const S* x, const S* dy,
                     Wide<S>* dweight) {
  column_reduce<taps>(owner, stream, s.taps() / taps, s.out_pixels(), s.in, WeightTerm<taps, S>{s, x, dy},
                      WeightStore<taps, Wide<S>>{dweight, s.taps()});
}

}  // namespace

void DeviceBackend::depthwise_conv2d_forward(const Tensor& x, const Tensor& weight,
                                             const Conv2dOptions& options, Tensor& y) {
  const ConvShape s = depthwise_shape("depthwise_conv2d", x, weight, options, y);
  dispatch_stored(y.dtype(), "depthwise_conv2d", [&]<typename S>() {
    depthwise_forward(stream_, s, stored<S>(x), weight.data<Wide<S>>(),
                      DepthwiseStore<S>{mutable_stored<S>(y)});
  });
}

void DeviceBackend::depthwise_conv2d_backward_input(const Tensor& dy, const Tensor& weight,
                                                    const Conv2dOptions& options, Tensor& dx) {
  const ConvShape s = depthwise_shape("depthwise_conv2d_backward_input", dx, weight, options, dy);
  if (dx.numel() == 0) return;
  dispatch_stored(dx.dtype(), "depthwise_conv2d_backward_input", [&]<typename S>() {
    const DepthwiseLaunch l = plan_depthwise<Wide<S>>(s, s.pixels());
    const auto kernel = square_window(s) == 3   ? depthwise_backward_input_kernel<3, S>
                        : square_window(s) == 7 ? depthwise_backward_input_kernel<7, S>
                                                : depthwise_backward_input_kernel<0, S>;
    gpu::launch(kernel, l.grid, l.block, l.shared_bytes, stream_, s, stored<S>(dy), weight.data<Wide<S>>(),
                mutable_stored<S>(dx), l.channel_tiles);
  });
}

void DeviceBackend::depthwise_conv2d_backward_weight(const Tensor& x, const Tensor& dy,
                                                     const Conv2dOptions& options, Tensor& dweight) {
  const ConvShape s = depthwise_shape("depthwise_conv2d_backward_weight", x, dweight, options, dy);
  dispatch_stored(x.dtype(), "depthwise_conv2d_backward_weight", [&]<typename S>() {
    const S *px = stored<S>(x), *pdy = stored<S>(dy);
    auto* p = dweight.mutable_data<Wide<S>>();
    switch (s.kw) {
      case 3:
        return backward_weight<3>(*this, stream_, s, px, pdy, p);
      case 7:
        return backward_weight<7>(*this, stream_, s, px, pdy, p);
      default:
        return backward_weight<1>(*this, stream_, s, px, pdy, p);
    }
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
