// Pooling of images, N x H x W x C: the maximum of kernel x kernel windows, and the mean of each channel over
// the whole image. A window's padding is cut off: what is left is not empty, because padding is at most half a
// kernel.
//   max: dx = dy at the remembered position, summed where windows overlap      mean: dx = dy / (H W)
// Max forward: a thread an output element, channels along the warp, so that every read is contiguous.
// Max backward: windows may overlap, and sums must not depend on who comes first; so a thread takes a channel
// of an image and walks over its windows in order. It reads four windows ahead and, if they went to four
// different pixels, adds to the four at once, so that their latencies overlap.
// Mean: column_reduce.h over the pixels of each image; backward a thread an element.
// Floor: bytes of x and y (max forward), dx twice (max backward: cleared, then added to), x once (mean).
#include "cuda/column_reduce.h"
#include "cuda/device_backend.h"
#include "tensor/operand_checks.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 256;

struct PoolShape {
  index_t images, channels;
  index_t height, width, out_height, out_width;
};

/// Rows or columns [begin, end) of the image that window number `i` covers.
struct Range {
  index_t begin, end;
  __device__ __forceinline__ Range(index_t i, const Pool2dOptions& options, index_t extent) {
    const index_t first = i * options.stride - options.padding;
    begin = gpu::max(first, index_t{0});
    end = gpu::min(first + options.kernel, extent);
  }
};

template <typename S>
__global__ void max_pool_kernel(PoolShape s, Pool2dOptions options, const S* x, S* y, std::int32_t* argmax) {
  const index_t size = s.images * s.out_height * s.out_width * s.channels;
  for (index_t i = first_item(); i < size; i += item_step()) {
    const index_t pixel = i / s.channels, channel = i - pixel * s.channels;
    const index_t line = pixel / s.out_width, n = line / s.out_height;
    const Range rows(line - n * s.out_height, options, s.height);
    const Range columns(pixel - line * s.out_width, options, s.width);
    const S* image = x + n * s.height * s.width * s.channels + channel;
    index_t where = rows.begin * s.width + columns.begin;
    Wide<S> best = widen(image[where * s.channels]);
    for (index_t r = rows.begin; r < rows.end; ++r) {
      for (index_t c = columns.begin; c < columns.end; ++c) {
        const index_t at = r * s.width + c;
        const Wide<S> value = widen(image[at * s.channels]);
        if (value > best || value != value) {  // NaN wins, so that it is seen
          best = value;
          where = at;
        }
      }
    }
    y[i] = narrow<S>(best);
    argmax[i] = static_cast<std::int32_t>(where);
  }
}

template <typename S>
__device__ __forceinline__ void add_to(S* sum, Wide<S> x) {
  *sum = narrow<S>(widen(*sum) + x);
}

/// dx has been cleared.
template <typename S>
__global__ void max_pool_backward_kernel(PoolShape s, const S* __restrict__ dy,
                                         const std::int32_t* __restrict__ argmax, S* __restrict__ dx) {
  const index_t i = first_item();
  if (i >= s.images * s.channels) return;
  const index_t n = i / s.channels, channel = i - n * s.channels, windows = s.out_height * s.out_width;
  dy += n * windows * s.channels + channel;
  argmax += n * windows * s.channels + channel;
  dx += n * s.height * s.width * s.channels + channel;
  index_t window = 0;
  for (; window + 4 <= windows; window += 4) {
    Wide<S> g[4];
    std::int32_t at[4];
    FER_UNROLL
    for (int j = 0; j < 4; ++j) {
      g[j] = widen(dy[(window + j) * s.channels]);
      at[j] = argmax[(window + j) * s.channels];
    }
    const bool distinct = at[0] != at[1] && at[0] != at[2] && at[0] != at[3] && at[1] != at[2] &&
                          at[1] != at[3] && at[2] != at[3];
    if (distinct) {
      FER_UNROLL
      for (int j = 0; j < 4; ++j) g[j] += widen(dx[at[j] * s.channels]);
      FER_UNROLL
      for (int j = 0; j < 4; ++j) dx[at[j] * s.channels] = narrow<S>(g[j]);
    } else {
      FER_UNROLL
      for (int j = 0; j < 4; ++j) add_to(dx + at[j] * s.channels, g[j]);
    }
  }
  for (; window < windows; ++window) {
    add_to(dx + argmax[window * s.channels] * s.channels, widen(dy[window * s.channels]));
  }
}

template <typename S>
struct PixelTerm {
  const S* x;
  index_t pixels, channels;
  __device__ __forceinline__ void operator()(index_t n, index_t pixel, int c, double (&sums)[1]) const {
    sums[0] += widen_to_double(x[(n * pixels + pixel) * channels + c]);
  }
};
template <typename S>
struct MeanStore {
  S* y;
  index_t pixels, channels;
  __device__ __forceinline__ void operator()(index_t n, index_t, int c, const double (&sums)[1]) const {
    y[n * channels + c] = narrow<S>(static_cast<Wide<S>>(sums[0] / static_cast<double>(pixels)));
  }
};

template <typename S>
__global__ void spread_kernel(const S* dy, S* dx, Wide<S> share, index_t pixels, index_t channels,
                              index_t size) {
  for (index_t i = first_item(); i < size; i += item_step()) {
    const index_t pixel = i / channels;
    dx[i] = narrow<S>(widen(dy[pixel / pixels * channels + (i - pixel * channels)]) * share);
  }
}

PoolShape pool_shape(const Tensor& x, const Tensor& y) {
  return {x.dim(0), x.dim(3), x.dim(1), x.dim(2), y.dim(1), y.dim(2)};
}

}  // namespace

void DeviceBackend::max_pool2d_forward(const Tensor& x, const Pool2dOptions& options, Tensor& y,
                                       Tensor& argmax) {
  check_max_pool2d(x, options, y, argmax);
  if (y.numel() == 0) return;
  dispatch_stored(x.dtype(), "max_pool2d", [&]<typename S>() {
    gpu::launch(max_pool_kernel<S>, blocks_for(y.numel(), threads), threads, 0, stream_, pool_shape(x, y),
                options, stored<S>(x), mutable_stored<S>(y), argmax.mutable_data<std::int32_t>());
  });
}

void DeviceBackend::max_pool2d_backward(const Tensor& dy, const Tensor& argmax, Tensor& dx) {
  require<ShapeError>(dx.rank() == 4 && dy.rank() == 4 && dx.dim(0) == dy.dim(0) && dx.dim(3) == dy.dim(3) &&
                          argmax.shape() == dy.shape(),
                      "[max_pool2d] gradient shapes ", dy.shape(), " -> ", dx.shape(), ", argmax ",
                      argmax.shape(), " do not fit");
  if (dx.numel() == 0) return;
  dispatch_stored(dy.dtype(), "max_pool2d", [&]<typename S>() {
    gpu::memset_async(dx.mutable_raw(), 0, dx.bytes(), stream_);
    gpu::launch(max_pool_backward_kernel<S>, ceil_div(dx.dim(0) * dx.dim(3), 128), 128, 0, stream_,
                pool_shape(dx, dy), stored<S>(dy), argmax.data<std::int32_t>(), mutable_stored<S>(dx));
  });
}

void DeviceBackend::global_avg_pool2d_forward(const Tensor& x, Tensor& y) {
  require<ShapeError>(x.rank() == 4 && y.numel() == x.dim(0) * x.dim(3) && x.dim(1) * x.dim(2) > 0,
                      "[global_avg_pool2d] shapes ", x.shape(), " -> ", y.shape(), " do not fit");
  dispatch_stored(x.dtype(), "global_avg_pool2d", [&]<typename S>() {
    const index_t pixels = x.dim(1) * x.dim(2), channels = x.dim(3);
    column_reduce<1>(*this, stream_, x.dim(0), pixels, channels, PixelTerm<S>{stored<S>(x), pixels, channels},
                     MeanStore<S>{mutable_stored<S>(y), pixels, channels});
  });
}

void DeviceBackend::global_avg_pool2d_backward(const Tensor& dy, Tensor& dx) {
  require<ShapeError>(dx.rank() == 4 && dy.numel() == dx.dim(0) * dx.dim(3),
                      "[global_avg_pool2d] gradient shapes ", dy.shape(), " -> ", dx.shape(), " do not fit");
  if (dx.numel() == 0) return;
  dispatch_stored(dy.dtype(), "global_avg_pool2d", [&]<typename S>() {
    const index_t pixels = dx.dim(1) * dx.dim(2);
    using T = Wide<S>;
    gpu::launch(spread_kernel<S>, blocks_for(dx.numel(), threads), threads, 0, stream_, stored<S>(dy),
                mutable_stored<S>(dx), T(1) / static_cast<T>(pixels), pixels, dx.dim(3), dx.numel());
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
