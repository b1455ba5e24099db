// Batch norm (Ioffe and Szegedy 2015) over the rows of x, rows x C:
//   y = (x - mean) inv_std weight + bias,    inv_std = 1 / sqrt(var + eps)
// Training, with xhat = (x - mean) inv_std and means over the rows:
//   dbias = sum dy,  dweight = sum dy xhat,  dx = weight inv_std (dy - mean(dy) - xhat mean(dy xhat))
// Evaluation, where mean and var are constants: dx = weight inv_std dy.
// Moments are taken by fixed chunks of rows, in one pass about the mean of a chunk's first eighth: that mean
// is within sqrt(8) deviations of the chunk's, whatever the values, so a large mean cancels before anything
// is squared. Chunks are merged in order and in double (Chan, Golub and LeVeque 1979). The gradients' sums go
// by the same chunks.
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/batch_norm.cpp"
#include "cpu/simd.h"

#ifndef FER_CPU_BATCH_NORM_KERNELS
#define FER_CPU_BATCH_NORM_KERNELS
namespace fer {
/// x, y, dy, dx: rows x C; everything else: C.
template <typename T>
struct BatchNormKernels {
  /// Of one chunk: mean, and squares = sum of (x - mean)^2. scratch: 3 C.
  void (*moments)(const T* x, std::int64_t rows, std::int64_t channels, T* scratch, double* mean,
                  double* squares);
  /// dy_sum += sum of dy, product_sum += sum of dy (x - mean). scratch: 2 C.
  void (*gradient_sums)(const T* x, const T* dy, const T* mean, std::int64_t rows, std::int64_t channels,
                        T* scratch, double* dy_sum, double* product_sum);
  /// y = (x - mean) scale + bias. stream, here and below: write the output past the cache.
  void (*normalise)(const T* x, const T* mean, const T* scale, const T* bias, T* y, std::int64_t rows,
                    std::int64_t channels, bool stream);
  /// dx = scale dy + (slope (x - mean) + offset)
  void (*backward)(const T* x, const T* dy, const T* mean, const T* scale, const T* slope, const T* offset,
                   T* dx, std::int64_t rows, std::int64_t channels, bool stream);
  /// dx = scale dy
  void (*eval_backward)(const T* dy, const T* scale, T* dx, std::int64_t rows, std::int64_t channels,
                        bool stream);
};
}  // namespace fer
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {

template <typename T>
void moments(const T* x, std::int64_t rows, std::int64_t n, T* scratch, double* mean, double* squares) {
  double* const sums[] = {mean};
  double* const both[] = {mean, squares};
  std::fill(mean, mean + n, 0.0);
  std::fill(squares, squares + n, 0.0);
  const std::int64_t first_rows = (rows + 7) / 8;
  add_rows(first_rows, n, scratch, sums, [=](auto d, std::int64_t i, std::int64_t c, auto add) HWY_ATTR {
    add(0, hn::LoadU(d, x + i * n + c));
  });
  T* centre = scratch + 2 * n;
  for (std::int64_t c = 0; c < n; ++c) {
    centre[c] = static_cast<T>(mean[c] / static_cast<double>(first_rows));
    mean[c] = 0.0;
  }
  add_rows(rows, n, scratch, both, [=](auto d, std::int64_t i, std::int64_t c, auto add) HWY_ATTR {
    const auto v = hn::Sub(hn::LoadU(d, x + i * n + c), hn::LoadU(d, centre + c));
    add(0, v);
    add(1, hn::Mul(v, v));
  });
  const double share = 1.0 / static_cast<double>(rows);
  for (std::int64_t c = 0; c < n; ++c) {
    squares[c] -= mean[c] * mean[c] * share;
    mean[c] = static_cast<double>(centre[c]) + mean[c] * share;
  }
}

template <typename T>
void gradient_sums(const T* x, const T* dy, const T* mean, std::int64_t rows, std::int64_t n, T* scratch,
                   double* dy_sum, double* product_sum) {
  double* const sums[] = {dy_sum, product_sum};
  add_rows(rows, n, scratch, sums, [=](auto d, std::int64_t i, std::int64_t c, auto add) HWY_ATTR {
    const auto g = hn::LoadU(d, dy + i * n + c);
    add(0, g);
    add(1, hn::Mul(g, hn::Sub(hn::LoadU(d, x + i * n + c), hn::LoadU(d, mean + c))));
  });
}

template <typename T>
void normalise(const T* x, const T* mean, const T* scale, const T* bias, T* y, std::int64_t rows,
               std::int64_t n, bool stream) {
  with_stores(stream, y, rows, n, [=](auto streamed) HWY_ATTR {
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* px = x + i * n;
      T* py = y + i * n;
      for_vectors<T>(n, [=](auto d, std::int64_t c) HWY_ATTR {
        const auto centred = hn::Sub(hn::LoadU(d, px + c), hn::LoadU(d, mean + c));
        store(streamed, hn::MulAdd(centred, hn::LoadU(d, scale + c), hn::LoadU(d, bias + c)), d, py + c);
      });
    }
  });
}

template <typename T>
void backward(const T* x, const T* dy, const T* mean, const T* scale, const T* slope, const T* offset, T* dx,
              std::int64_t rows, std::int64_t n, bool stream) {
  with_stores(stream, dx, rows, n, [=](auto streamed) HWY_ATTR {
    for (std::int64_t i = 0; i < rows; ++i) {
      const T *px = x + i * n, *pdy = dy + i * n;
      T* pdx = dx + i * n;
      for_vectors<T>(n, [=](auto d, std::int64_t c) HWY_ATTR {
        const auto centred = hn::Sub(hn::LoadU(d, px + c), hn::LoadU(d, mean + c));
        const auto line = hn::MulAdd(centred, hn::LoadU(d, slope + c), hn::LoadU(d, offset + c));
        store(streamed, hn::MulAdd(hn::LoadU(d, pdy + c), hn::LoadU(d, scale + c), line), d, pdx + c);
      });
    }
  });
}

template <typename T>
void eval_backward(const T* dy, const T* scale, T* dx, std::int64_t rows, std::int64_t n, bool stream) {
  with_stores(stream, dx, rows, n, [=](auto streamed) HWY_ATTR {
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* pdy = dy + i * n;
      T* pdx = dx + i * n;
      for_vectors<T>(n, [=](auto d, std::int64_t c) HWY_ATTR {
        store(streamed, hn::Mul(hn::LoadU(d, pdy + c), hn::LoadU(d, scale + c)), d, pdx + c);
      });
    }
  });
}

template <typename T>
BatchNormKernels<T> table() {
  return {moments<T>, gradient_sums<T>, normalise<T>, backward<T>, eval_backward<T>};
}
BatchNormKernels<float> kernels_f32() {
  return table<float>();
}
BatchNormKernels<double> kernels_f64() {
  return table<double>();
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer {
FER_SIMD_EXPORT(BatchNormKernels)

namespace {

/// Two numbers a channel: first[c], second[c].
struct ChannelPairs {
  std::vector<double> first, second;

  explicit ChannelPairs(std::int64_t size)
      : first(static_cast<std::size_t>(size), 0.0), second(static_cast<std::size_t>(size), 0.0) {}
};

// first: the means over all rows; second: the sums of squares about them.
template <typename T>
ChannelPairs column_moments(const T* x, std::int64_t rows, std::int64_t channels) {
  const detail::RowChunks chunks(rows, channels);
  ChannelPairs partial(chunks.count * channels);
  const auto run = kernels<T>().moments;
  detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
    std::vector<T> scratch(static_cast<std::size_t>(3 * channels));
    run(x + chunks.begin(chunk) * channels, chunks.length(chunk), channels, scratch.data(),
        partial.first.data() + chunk * channels, partial.second.data() + chunk * channels);
  });
  ChannelPairs all(channels);
  double merged_rows = 0;
  for (std::int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    const auto length = static_cast<double>(chunks.length(chunk)), before = merged_rows;
    merged_rows += length;
    for (std::int64_t c = 0; c < channels; ++c) {
      const std::int64_t at = chunk * channels + c;
      const double distance = partial.first[at] - all.first[c];
      all.first[c] += distance * length / merged_rows;
      all.second[c] += partial.second[at] + distance * distance * before * length / merged_rows;
    }
  }
  return all;
}

template <typename T>
void normalise_rows(const Tensor& x, const T* mean, const T* scale, const T* bias, Tensor& y) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  const T* px = x.data<T>();
  T* py = y.mutable_data<T>();
  const auto run = kernels<T>().normalise;
  const bool stream = detail::stream_stores(y);
  detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
    run(px + begin * channels, mean, scale, bias, py + begin * channels, end - begin, channels, stream);
  });
}

// Sums of dy and of dy (x - mean), and from them the gradients of weight and bias that are asked for.
template <typename T>
ChannelPairs parameter_gradients(const Tensor& x, const Tensor& dy, const T* mean, const T* inv_std,
                                 Tensor& dweight, Tensor& dbias) {
  const std::int64_t channels = x.shape().channels();
  const detail::RowChunks chunks(x.shape().rows(), channels);
  ChannelPairs partial(chunks.count * channels), sums(channels);
  const T *px = x.data<T>(), *pdy = dy.data<T>();
  const auto run = kernels<T>().gradient_sums;
  detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
    const std::int64_t at = chunks.begin(chunk) * channels;
    std::vector<T> scratch(static_cast<std::size_t>(2 * channels));
    run(px + at, pdy + at, mean, chunks.length(chunk), channels, scratch.data(),
        partial.first.data() + chunk * channels, partial.second.data() + chunk * channels);
  });
  detail::add_chunks(chunks, partial.first.data(), channels, sums.first.data());
  detail::add_chunks(chunks, partial.second.data(), channels, sums.second.data());
  if (dbias.defined()) std::copy(sums.first.begin(), sums.first.end(), dbias.mutable_data<T>());
  if (dweight.defined()) {
    T* p = dweight.mutable_data<T>();
    for (std::int64_t c = 0; c < channels; ++c) p[c] = static_cast<T>(sums.second[c] * inv_std[c]);
  }
  return sums;
}

void check_channels(const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> vectors) {
  for (const auto& [name, tensor] : vectors) {
    if (tensor->defined()) detail::require_size("batch_norm", name, *tensor, x.shape().channels());
  }
}

}  // namespace

void CpuBackend::batch_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    double momentum, double eps, Tensor& running_mean, Tensor& running_var,
                                    Tensor& y, Tensor& mean, Tensor& inv_std) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("batch_norm", "y", y, x.numel());
  check_channels(x, {{"weight", &weight},
                     {"bias", &bias},
                     {"running_mean", &running_mean},
                     {"running_var", &running_var},
                     {"mean", &mean},
                     {"inv_std", &inv_std}});
  require<ShapeError>(rows > 0, "[batch_norm] a batch without rows has no mean, x has shape ", x.shape());
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const T *px = x.data<T>(), *pweight = weight.data<T>();
    T *pmean = mean.mutable_data<T>(), *pinv_std = inv_std.mutable_data<T>();
    T *prunning_mean = running_mean.mutable_data<T>(), *prunning_var = running_var.mutable_data<T>();
    const ChannelPairs moments = column_moments(px, rows, channels);
    const auto n = static_cast<double>(rows), unbiased = n / std::max(n - 1.0, 1.0);
    std::vector<T> scale(static_cast<std::size_t>(channels));
    for (std::int64_t c = 0; c < channels; ++c) {
      const double batch_mean = moments.first[c];
      const double var = std::max(moments.second[c] / n, 0.0);  // of NaN it is NaN: nothing is hidden
      const double batch_inv_std = 1.0 / std::sqrt(var + eps);
      pmean[c] = static_cast<T>(batch_mean);
      pinv_std[c] = static_cast<T>(batch_inv_std);
      scale[c] = static_cast<T>(batch_inv_std * static_cast<double>(pweight[c]));
      prunning_mean[c] = static_cast<T>((1.0 - momentum) * prunning_mean[c] + momentum * batch_mean);
      prunning_var[c] = static_cast<T>((1.0 - momentum) * prunning_var[c] + momentum * var * unbiased);
    }
    normalise_rows(x, pmean, scale.data(), bias.data<T>(), y);
  });
}

void CpuBackend::batch_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& mean,
                                     const Tensor& inv_std, const Tensor& dy, Tensor& dx, Tensor& dweight,
                                     Tensor& dbias) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("batch_norm", "dy", dy, x.numel());
  if (dx.defined()) detail::require_size("batch_norm", "dx", dx, x.numel());
  check_channels(x, {{"weight", &weight},
                     {"mean", &mean},
                     {"inv_std", &inv_std},
                     {"dweight", &dweight},
                     {"dbias", &dbias}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const T *pmean = mean.data<T>(), *pinv_std = inv_std.data<T>(), *pweight = weight.data<T>();
    const ChannelPairs sums = parameter_gradients(x, dy, pmean, pinv_std, dweight, dbias);
    if (!dx.defined()) return;
    // dx as a line in x - mean, so that a row needs three constants a channel.
    const auto size = static_cast<std::size_t>(channels);
    std::vector<T> scale(size), slope(size), offset(size);
    const auto n = static_cast<double>(rows);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double s = static_cast<double>(pinv_std[c]), a = s * static_cast<double>(pweight[c]);
      scale[c] = static_cast<T>(a);
      slope[c] = static_cast<T>(-a * s * s * sums.second[c] / n);
      offset[c] = static_cast<T>(-a * sums.first[c] / n);
    }
    const T *px = x.data<T>(), *pdy = dy.data<T>();
    T* pdx = dx.mutable_data<T>();
    const auto run = kernels<T>().backward;
    const bool stream = detail::stream_stores(dx);
    detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t at = begin * channels;
      run(px + at, pdy + at, pmean, scale.data(), slope.data(), offset.data(), pdx + at, end - begin,
          channels, stream);
    });
  });
}

namespace {

template <typename T>
std::vector<T> inverse_deviation(const Tensor& var, double eps) {
  std::vector<T> inv_std(static_cast<std::size_t>(var.numel()));
  const T* p = var.data<T>();
  for (std::size_t c = 0; c < inv_std.size(); ++c) {
    inv_std[c] = static_cast<T>(1.0 / std::sqrt(static_cast<double>(p[c]) + eps));
  }
  return inv_std;
}

template <typename T>
std::vector<T> times(std::vector<T> a, const T* b) {
  for (std::size_t c = 0; c < a.size(); ++c) a[c] *= b[c];
  return a;
}

}  // namespace

void CpuBackend::batch_norm_eval_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                         const Tensor& running_mean, const Tensor& running_var, double eps,
                                         Tensor& y) {
  detail::require_size("batch_norm", "y", y, x.numel());
  check_channels(
      x,
      {{"weight", &weight}, {"bias", &bias}, {"running_mean", &running_mean}, {"running_var", &running_var}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> scale = times(inverse_deviation<T>(running_var, eps), weight.data<T>());
    normalise_rows(x, running_mean.data<T>(), scale.data(), bias.data<T>(), y);
  });
}

void CpuBackend::batch_norm_eval_backward(const Tensor& x, const Tensor& weight, const Tensor& running_mean,
                                          const Tensor& running_var, double eps, const Tensor& dy, Tensor& dx,
                                          Tensor& dweight, Tensor& dbias) {
  const std::int64_t rows = dy.shape().rows(), channels = dy.shape().channels();
  check_channels(dy, {{"weight", &weight},
                      {"running_mean", &running_mean},
                      {"running_var", &running_var},
                      {"dweight", &dweight},
                      {"dbias", &dbias}});
  if (dx.defined()) detail::require_size("batch_norm", "dx", dx, dy.numel());
  dispatch_floating(dy.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> inv_std = inverse_deviation<T>(running_var, eps);
    if (dweight.defined() || dbias.defined()) {
      detail::require_size("batch_norm", "x", x, dy.numel());
      parameter_gradients(x, dy, running_mean.data<T>(), inv_std.data(), dweight, dbias);
    }
    if (!dx.defined()) return;
    const std::vector<T> scale = times(inv_std, weight.data<T>());
    const T* pdy = dy.data<T>();
    T* pdx = dx.mutable_data<T>();
    const auto run = kernels<T>().eval_backward;
    const bool stream = detail::stream_stores(dx);
    detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
      run(pdy + begin * channels, scale.data(), pdx + begin * channels, end - begin, channels, stream);
    });
  });
}

}  // namespace fer
#endif
