// Pooling of images, N x H x W x C: the maximum over kernel x kernel windows, and each channel's mean over
// the whole image. Loops over channels are innermost, where memory is contiguous. Windows are clipped to the
// image, which never leaves one empty, because padding is at most half a kernel.
//   max:  dx = dy at the saved position, summed where windows overlap
//   mean: dx = dy / (H W)
#include <utility>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"
#include "tensor/operand_checks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/pool2d.cpp"
#include "cpu/simd.h"

#ifndef FER_CPU_POOL2D_KERNELS
#define FER_CPU_POOL2D_KERNELS
namespace fer {
template <typename T>
struct Pool2dKernels {
  /// The maximum of one window, best (C), and its position, `where`. The window has rows x columns pixels and
  /// begins at pixel `first` of an image of `width`.
  void (*window_max)(const T* image, std::int64_t width, std::int64_t channels, std::int64_t first,
                     std::int64_t rows, std::int64_t columns, T* best, std::int32_t* where);
  /// sums (C) += pixels of x, rows x C.
  void (*add_rows)(const T* x, std::int64_t rows, std::int64_t channels, double* sums);
};
}  // namespace fer
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {

template <typename T>
void window_max(const T* HWY_RESTRICT image, std::int64_t width, std::int64_t channels, std::int64_t first,
                std::int64_t rows, std::int64_t columns, T* HWY_RESTRICT best,
                std::int32_t* HWY_RESTRICT where) {
  for (std::int64_t c = 0; c < channels; ++c) {
    best[c] = image[first * channels + c];
    where[c] = static_cast<std::int32_t>(first);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = i == 0 ? 1 : 0; j < columns; ++j) {
      const std::int64_t pixel = first + i * width + j;
      const T* HWY_RESTRICT x = image + pixel * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        const T value = x[c], old = best[c];
        const std::int32_t old_where = where[c];
        const bool better = value > old || value != value;  // NaN wins, so that it is not lost
        best[c] = better ? value : old;
        where[c] = better ? static_cast<std::int32_t>(pixel) : old_where;
      }
    }
  }
}

template <typename T>
void add_rows(const T* HWY_RESTRICT x, std::int64_t rows, std::int64_t channels, double* HWY_RESTRICT sums) {
  for (std::int64_t i = 0; i < rows; ++i, x += channels) {
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += static_cast<double>(x[c]);
  }
}

Pool2dKernels<float> kernels_f32() {
  return {window_max<float>, add_rows<float>};
}
Pool2dKernels<double> kernels_f64() {
  return {window_max<double>, add_rows<double>};
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer {
FER_SIMD_EXPORT(Pool2dKernels)

void CpuBackend::max_pool2d_forward(const Tensor& x, const Pool2dOptions& options, Tensor& y,
                                    Tensor& argmax) {
  check_max_pool2d(x, options, y, argmax);
  dispatch_floating(x.dtype(), "max_pool2d", [&]<typename T>() {
    const std::int64_t width = x.dim(2), channels = x.dim(3), image = x.dim(1) * width * channels;
    const std::int64_t out_height = y.dim(1), out_width = y.dim(2);
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    auto* pargmax = argmax.mutable_data<std::int32_t>();
    const auto run = kernels<T>().window_max;
    const auto window = [&options](std::int64_t i, std::int64_t extent) {
      const std::int64_t first = i * options.stride - options.padding;
      return std::pair{std::max<std::int64_t>(first, 0), std::min(first + options.kernel, extent)};
    };
    const auto line = [&](std::int64_t n, std::int64_t i) {
      const auto [top, bottom] = window(i, x.dim(1));
      for (std::int64_t j = 0; j < out_width; ++j) {
        const auto [left, right] = window(j, width);
        const std::int64_t at = ((n * out_height + i) * out_width + j) * channels;
        run(px + n * image, width, channels, top * width + left, bottom - top, right - left, py + at,
            pargmax + at);
      }
    };
    const std::int64_t lines = y.dim(0) * out_height;
    detail::parallel_rows(lines, out_width * channels * options.kernel * options.kernel,
                          [&](std::int64_t begin, std::int64_t end) {
                            for (std::int64_t l = begin; l < end; ++l) line(l / out_height, l % out_height);
                          });
  });
}

void CpuBackend::max_pool2d_backward(const Tensor& dy, const Tensor& argmax, Tensor& dx) {
  require<ShapeError>(dx.rank() == 4 && dy.rank() == 4 && dx.dim(0) == dy.dim(0) && dx.dim(3) == dy.dim(3) &&
                          argmax.shape() == dy.shape(),
                      "[max_pool2d] gradient shapes ", dy.shape(), " -> ", dx.shape(), ", argmax ",
                      argmax.shape(), " do not fit");
  dispatch_floating(dy.dtype(), "max_pool2d", [&]<typename T>() {
    const std::int64_t channels = dx.dim(3), image = dx.dim(1) * dx.dim(2) * channels;
    const std::int64_t pixels = dy.dim(1) * dy.dim(2);
    const T* pdy = dy.data<T>();
    const auto* pargmax = argmax.data<std::int32_t>();
    T* pdx = dx.mutable_data<T>();
    // Windows may overlap, so one thread handles a whole image.
    detail::parallel_rows(dx.dim(0), image, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n) {
        T* out = pdx + n * image;
        std::fill(out, out + image, T(0));
        for (std::int64_t p = n * pixels; p < (n + 1) * pixels; ++p) {
          for (std::int64_t c = 0; c < channels; ++c) {
            out[pargmax[p * channels + c] * channels + c] += pdy[p * channels + c];
          }
        }
      }
    });
  });
}

void CpuBackend::global_avg_pool2d_forward(const Tensor& x, Tensor& y) {
  require<ShapeError>(x.rank() == 4 && y.numel() == x.dim(0) * x.dim(3) && x.dim(1) * x.dim(2) > 0,
                      "[global_avg_pool2d] shapes ", x.shape(), " -> ", y.shape(), " do not fit");
  dispatch_floating(x.dtype(), "global_avg_pool2d", [&]<typename T>() {
    const std::int64_t pixels = x.dim(1) * x.dim(2), channels = x.dim(3);
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = kernels<T>().add_rows;
    detail::parallel_rows(x.dim(0), pixels * channels, [&](std::int64_t begin, std::int64_t end) {
      std::vector<double> sums(static_cast<std::size_t>(channels));
      for (std::int64_t n = begin; n < end; ++n) {
        std::fill(sums.begin(), sums.end(), 0.0);
        run(px + n * pixels * channels, pixels, channels, sums.data());
        for (std::int64_t c = 0; c < channels; ++c) {
          py[n * channels + c] = static_cast<T>(sums[c] / static_cast<double>(pixels));
        }
      }
    });
  });
}

void CpuBackend::global_avg_pool2d_backward(const Tensor& dy, Tensor& dx) {
  require<ShapeError>(dx.rank() == 4 && dy.numel() == dx.dim(0) * dx.dim(3),
                      "[global_avg_pool2d] gradient shapes ", dy.shape(), " -> ", dx.shape(), " do not fit");
  if (dx.numel() == 0) return;
  dispatch_floating(dy.dtype(), "global_avg_pool2d", [&]<typename T>() {
    const std::int64_t pixels = dx.dim(1) * dx.dim(2), channels = dx.dim(3);
    const T* pdy = dy.data<T>();
    T* pdx = dx.mutable_data<T>();
    const T share = T(1) / static_cast<T>(pixels);
    detail::parallel_rows(dx.dim(0), pixels * channels, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n) {
        T* first = pdx + n * pixels * channels;
        for (std::int64_t c = 0; c < channels; ++c) first[c] = pdy[n * channels + c] * share;
        for (std::int64_t p = 1; p < pixels; ++p) std::copy(first, first + channels, first + p * channels);
      }
    });
  });
}

}  // namespace fer
#endif
