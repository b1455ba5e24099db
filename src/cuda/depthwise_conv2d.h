// The forward kernel of depthwise convolution and the launch sizes of forward and dx. depthwise_conv2d.cu
// explains the blocks and threads; conv2d_fused.cu uses the kernel with its own store.
#pragma once

#include "cuda/conv_shape.h"
#include "cuda/op_support.h"
#include "cuda/storage.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// The block's weights by tap: w(tap, threadIdx.x). Ends with a barrier.
template <typename T>
__device__ __forceinline__ void copy_weights(const ConvShape& s, const T* weight, int first_channel, T* to) {
  const int width = static_cast<int>(blockDim.x), taps = s.taps();
  const int size = gpu::min(width, s.in - first_channel) * taps;
  for (int i = thread_rank(); i < size; i += block_threads()) {
    to[i % taps * width + i / taps] = weight[static_cast<index_t>(first_channel) * taps + i];
  }
  __syncthreads();
}

/// kernel: kh and kw if not 0; constant extents let the compiler unroll the taps. store.channel(c) loads the
/// constants of channel c. store.put(channel, i, sum) writes element i of y.
template <int kernel, typename S, typename Store>
__global__ void depthwise_forward_kernel(ConvShape s, const S* x, const Wide<S>* weight, Store store,
                                         int channel_tiles) {
  using T = Wide<S>;
  FER_DYNAMIC_SHARED(T, w);
  const int width = static_cast<int>(blockDim.x), tx = static_cast<int>(threadIdx.x);
  const int first_channel = static_cast<int>(blockIdx.x % static_cast<unsigned>(channel_tiles)) * width;
  copy_weights(s, weight, first_channel, w);
  const int channel = first_channel + tx, kh = kernel ? kernel : s.kh, kw = kernel ? kernel : s.kw;
  if (channel >= s.in) return;
  const auto constants = store.channel(channel);
  const index_t pixels = s.out_pixels(), step = gridDim.x / static_cast<unsigned>(channel_tiles) * blockDim.y;
  index_t pixel =
      static_cast<index_t>(blockIdx.x / static_cast<unsigned>(channel_tiles)) * blockDim.y + threadIdx.y;
  for (; pixel < pixels; pixel += step) {
    const index_t line = pixel / s.out_w, n = line / s.out_h;
    const int row = static_cast<int>(line - n * s.out_h) * s.stride - s.padding;
    const int column = static_cast<int>(pixel - line * s.out_w) * s.stride - s.padding;
    const S* image = x + n * s.h * s.w * s.in + channel;
    T sum = 0;
    FER_UNROLL
    for (int r = 0; r < kh; ++r) {
      if (row + r < 0 || row + r >= s.h) continue;
      FER_UNROLL
      for (int c = 0; c < kw; ++c) {
        if (column + c < 0 || column + c >= s.w) continue;
        const index_t at = (static_cast<index_t>(row + r) * s.w + column + c) * s.in;
        sum = gpu::fma(widen(image[at]), w[(r * kw + c) * width + tx], sum);
      }
    }
    store.put(constants, pixel * s.in + channel, sum);
  }
}

/// y = the sum.
template <typename S>
struct DepthwiseStore {
  struct Channel {};
  S* y;
  __device__ __forceinline__ Channel channel(int) const { return {}; }
  __device__ __forceinline__ void put(const Channel&, index_t i, Wide<S> sum) const { y[i] = narrow<S>(sum); }
};

/// The launch sizes of forward and dx for `pixels` outputs.
struct DepthwiseLaunch {
  dim3 grid, block;
  std::size_t shared_bytes;
  int channel_tiles;
};

/// T: the type of the weights.
template <typename T>
DepthwiseLaunch plan_depthwise(const ConvShape& s, index_t pixels) {
  int width = 1;
  while (width < 32 && width < s.in) width *= 2;
  const int height = 256 / width, tiles = ceil_div(s.in, width);
  const unsigned strips = blocks_for(pixels, index_t{height} * 4);
  return {dim3(strips * static_cast<unsigned>(tiles)),
          dim3(static_cast<unsigned>(width), static_cast<unsigned>(height)),
          static_cast<std::size_t>(s.taps() * width) * sizeof(T), tiles};
}

/// The side of a square window, 0 for another.
inline int square_window(const ConvShape& s) {
  return s.kh == s.kw ? s.kh : 0;
}

template <typename S, typename Store>
void depthwise_forward(gpu::Stream stream, const ConvShape& s, const S* x, const Wide<S>* weight,
                       const Store& store) {
  if (s.out_pixels() * s.out == 0) return;
  const DepthwiseLaunch l = plan_depthwise<Wide<S>>(s, s.out_pixels());
  const auto kernel = square_window(s) == 3   ? depthwise_forward_kernel<3, S, Store>
                      : square_window(s) == 7 ? depthwise_forward_kernel<7, S, Store>
                                              : depthwise_forward_kernel<0, S, Store>;
  gpu::launch(kernel, l.grid, l.block, l.shared_bytes, stream, s, x, weight, store, l.channel_tiles);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
