// Batch norm (Ioffe and Szegedy 2015) over the rows of x, rows x C:
//   y = (x - mean) inv_std weight + bias,    inv_std = 1 / sqrt(var + eps)
// Training, with xhat = (x - mean) inv_std and means over the rows:
//   dbias = sum dy,  dweight = sum dy xhat,  dx = weight inv_std (dy - mean(dy) - xhat mean(dy xhat))
// Evaluation, where mean and var are constants: dx = weight inv_std dy.
// Moments are summed in one pass in double, about the first row: what a large mean would cancel is gone
// before anything is squared. Chunks of rows are fixed and their sums added in order.
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
  /// first += sum of x - shift, second += sum of (x - shift)^2.
  void (*moments)(const T* x, const T* shift, std::int64_t rows, std::int64_t channels, double* first,
                  double* second);
  /// dy_sum += sum of dy, product_sum += sum of dy (x - mean).
  void (*gradient_sums)(const T* x, const T* dy, const T* mean, std::int64_t rows, std::int64_t channels,
                        double* dy_sum, double* product_sum);
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
void moments(const T* HWY_RESTRICT x, const T* HWY_RESTRICT shift, std::int64_t rows, std::int64_t n,
             double* HWY_RESTRICT first, double* HWY_RESTRICT second) {
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4, x += 4 * n) {  // four rows for one load and store of the sums
    for (std::int64_t c = 0; c < n; ++c) {
      const auto s = static_cast<double>(shift[c]);
      const double x0 = static_cast<double>(x[c]) - s, x1 = static_cast<double>(x[c + n]) - s;
      const double x2 = static_cast<double>(x[c + 2 * n]) - s, x3 = static_cast<double>(x[c + 3 * n]) - s;
      first[c] += (x0 + x1) + (x2 + x3);
      second[c] += (x0 * x0 + x1 * x1) + (x2 * x2 + x3 * x3);
    }
  }
  for (; i < rows; ++i, x += n) {
    for (std::int64_t c = 0; c < n; ++c) {
      const double x0 = static_cast<double>(x[c]) - static_cast<double>(shift[c]);
      first[c] += x0;
      second[c] += x0 * x0;
    }
  }
}

template <typename T>
void gradient_sums(const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy, const T* HWY_RESTRICT mean,
                   std::int64_t rows, std::int64_t n, double* HWY_RESTRICT dy_sum,
                   double* HWY_RESTRICT product_sum) {
  std::int64_t i = 0;
  for (; i + 2 <= rows; i += 2, x += 2 * n, dy += 2 * n) {
    for (std::int64_t c = 0; c < n; ++c) {
      const auto m = static_cast<double>(mean[c]);
      const auto dy0 = static_cast<double>(dy[c]), dy1 = static_cast<double>(dy[c + n]);
      dy_sum[c] += dy0 + dy1;
      product_sum[c] += dy0 * (static_cast<double>(x[c]) - m) + dy1 * (static_cast<double>(x[c + n]) - m);
    }
  }
  for (; i < rows; ++i, x += n, dy += n) {
    for (std::int64_t c = 0; c < n; ++c) {
      dy_sum[c] += static_cast<double>(dy[c]);
      product_sum[c] +=
          static_cast<double>(dy[c]) * (static_cast<double>(x[c]) - static_cast<double>(mean[c]));
    }
  }
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

/// Two sums a channel over all rows: first[c], second[c].
struct ColumnSums {
  std::vector<double> first, second;
};

// sum(begin, rows, first, second) adds up rows [begin, begin + rows).
template <typename Sum>
ColumnSums sum_columns(std::int64_t rows, std::int64_t channels, const Sum& sum) {
  const detail::RowChunks chunks(rows, channels);
  const auto size = static_cast<std::size_t>(chunks.count * channels);
  std::vector<double> first(size, 0.0), second(size, 0.0);
  detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
    sum(chunks.begin(chunk), chunks.length(chunk), first.data() + chunk * channels,
        second.data() + chunk * channels);
  });
  ColumnSums sums{std::vector<double>(static_cast<std::size_t>(channels)),
                  std::vector<double>(static_cast<std::size_t>(channels))};
  detail::add_chunks(chunks, first.data(), channels, sums.first.data());
  detail::add_chunks(chunks, second.data(), channels, sums.second.data());
  return sums;
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
ColumnSums parameter_gradients(const Tensor& x, const Tensor& dy, const T* mean, const T* inv_std,
                               Tensor& dweight, Tensor& dbias) {
  const std::int64_t channels = x.shape().channels();
  const T *px = x.data<T>(), *pdy = dy.data<T>();
  const auto run = kernels<T>().gradient_sums;
  ColumnSums sums =
      sum_columns(x.shape().rows(), channels,
                  [&](std::int64_t begin, std::int64_t rows, double* dy_sum, double* product_sum) {
                    const std::int64_t at = begin * channels;
                    run(px + at, pdy + at, mean, rows, channels, dy_sum, product_sum);
                  });
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
    const auto run = kernels<T>().moments;
    const ColumnSums sums = sum_columns(
        rows, channels, [&](std::int64_t begin, std::int64_t count, double* first, double* second) {
          run(px + begin * channels, px, count, channels, first, second);
        });
    const auto n = static_cast<double>(rows), unbiased = n / std::max(n - 1.0, 1.0);
    std::vector<T> scale(static_cast<std::size_t>(channels));
    for (std::int64_t c = 0; c < channels; ++c) {
      const double shifted_mean = sums.first[c] / n, batch_mean = static_cast<double>(px[c]) + shifted_mean;
      // std::max(NaN, 0) is NaN: what is not finite stays visible.
      const double var = std::max((sums.second[c] - sums.first[c] * shifted_mean) / n, 0.0);
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
    const ColumnSums sums = parameter_gradients(x, dy, pmean, pinv_std, dweight, dbias);
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
