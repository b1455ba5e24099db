// Layer norm (Ba et al. 2016) of each row of x, rows x C:
//   y = xhat weight + bias,  xhat = (x - mean) inv_std,  inv_std = 1 / sqrt(var + eps)
//   dx = inv_std (g - mean(g) - xhat mean(g xhat)),  g = dy weight,  means over the row
//   dweight = sum over rows of dy xhat,  dbias = sum over rows of dy
// A row fits in the cache, so mean and variance take two passes. Sums are in double.
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/layer_norm.cpp"
#include "cpu/simd.h"

#ifndef FER_CPU_LAYER_NORM_KERNELS
#define FER_CPU_LAYER_NORM_KERNELS
namespace fer {
/// x, y, dy, dx: rows x C; mean, inv_std: rows; weight, bias, dweight, dbias: C.
template <typename T>
struct LayerNormKernels {
  void (*forward)(const T* x, const T* weight, const T* bias, double eps, T* y, T* mean, T* inv_std,
                  std::int64_t rows, std::int64_t channels);
  void (*backward_input)(const T* x, const T* weight, const T* mean, const T* inv_std, const T* dy, T* dx,
                         std::int64_t rows, std::int64_t channels);
  /// Adds to dweight and dbias.
  void (*backward_parameters)(const T* x, const T* mean, const T* inv_std, const T* dy, double* dweight,
                              double* dbias, std::int64_t rows, std::int64_t channels);
};
}  // namespace fer
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {

template <typename T>
void forward(const T* HWY_RESTRICT x, const T* HWY_RESTRICT weight, const T* HWY_RESTRICT bias, double eps,
             T* HWY_RESTRICT y, T* HWY_RESTRICT mean, T* HWY_RESTRICT inv_std, std::int64_t rows,
             std::int64_t channels) {
  const auto n = static_cast<double>(channels);
  for (std::int64_t i = 0; i < rows; ++i, x += channels, y += channels) {
    double sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t c = 0; c < channels; ++c) sum += static_cast<double>(x[c]);
    const double row_mean = sum / n;
#pragma omp simd reduction(+ : squares)
    for (std::int64_t c = 0; c < channels; ++c) {
      const double centred = static_cast<double>(x[c]) - row_mean;
      squares += centred * centred;
    }
    const T m = mean[i] = static_cast<T>(row_mean);
    const T s = inv_std[i] = static_cast<T>(1.0 / std::sqrt(squares / n + eps));
    for (std::int64_t c = 0; c < channels; ++c) y[c] = (x[c] - m) * s * weight[c] + bias[c];
  }
}

template <typename T>
void backward_input(const T* HWY_RESTRICT x, const T* HWY_RESTRICT weight, const T* HWY_RESTRICT mean,
                    const T* HWY_RESTRICT inv_std, const T* HWY_RESTRICT dy, T* HWY_RESTRICT dx,
                    std::int64_t rows, std::int64_t channels) {
  const auto n = static_cast<double>(channels);
  for (std::int64_t i = 0; i < rows; ++i, x += channels, dy += channels, dx += channels) {
    const T m = mean[i], s = inv_std[i];
    double sum = 0, product_sum = 0;  // of g, and of g (x - mean)
    // g is stored in dx. Recomputing the product below, fused with the subtraction, would round it
    // differently from the mean, and the error would not cancel. In a row without variance it is then
    // multiplied by 1 / sqrt(eps).
#pragma omp simd reduction(+ : sum, product_sum)
    for (std::int64_t c = 0; c < channels; ++c) {
      dx[c] = dy[c] * weight[c];
      const double g = static_cast<double>(dx[c]);
      sum += g;
      product_sum += g * (static_cast<double>(x[c]) - static_cast<double>(m));
    }
    const T mean_g = static_cast<T>(sum / n);
    const T slope = static_cast<T>(static_cast<double>(s) * static_cast<double>(s) * product_sum / n);
    for (std::int64_t c = 0; c < channels; ++c) {
      dx[c] = s * (dx[c] - mean_g - (x[c] - m) * slope);
    }
  }
}

template <typename T>
void backward_parameters(const T* HWY_RESTRICT x, const T* HWY_RESTRICT mean, const T* HWY_RESTRICT inv_std,
                         const T* HWY_RESTRICT dy, double* HWY_RESTRICT dweight, double* HWY_RESTRICT dbias,
                         std::int64_t rows, std::int64_t channels) {
  for (std::int64_t i = 0; i < rows; ++i, x += channels, dy += channels) {
    const auto m = static_cast<double>(mean[i]), s = static_cast<double>(inv_std[i]);
    for (std::int64_t c = 0; c < channels; ++c) {
      dweight[c] += static_cast<double>(dy[c]) * ((static_cast<double>(x[c]) - m) * s);
      dbias[c] += static_cast<double>(dy[c]);
    }
  }
}

template <typename T>
LayerNormKernels<T> table() {
  return {forward<T>, backward_input<T>, backward_parameters<T>};
}
LayerNormKernels<float> kernels_f32() {
  return table<float>();
}
LayerNormKernels<double> kernels_f64() {
  return table<double>();
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer {
FER_SIMD_EXPORT(LayerNormKernels)

void CpuBackend::layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps,
                                    Tensor& y, Tensor& mean, Tensor& inv_std) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("layer_norm", "weight", weight, channels);
  detail::require_size("layer_norm", "bias", bias, channels);
  detail::require_size("layer_norm", "y", y, x.numel());
  detail::require_size("layer_norm", "mean", mean, rows);
  detail::require_size("layer_norm", "inv_std", inv_std, rows);
  dispatch_floating(x.dtype(), "layer_norm", [&]<typename T>() {
    const T *px = x.data<T>(), *pweight = weight.data<T>(), *pbias = bias.data<T>();
    T *py = y.mutable_data<T>(), *pmean = mean.mutable_data<T>(), *pinv_std = inv_std.mutable_data<T>();
    const auto run = kernels<T>().forward;
    detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
      run(px + begin * channels, pweight, pbias, eps, py + begin * channels, pmean + begin, pinv_std + begin,
          end - begin, channels);
    });
  });
}

void CpuBackend::layer_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& mean,
                                     const Tensor& inv_std, const Tensor& dy, Tensor& dx, Tensor& dweight,
                                     Tensor& dbias) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("layer_norm", "weight", weight, channels);
  detail::require_size("layer_norm", "mean", mean, rows);
  detail::require_size("layer_norm", "inv_std", inv_std, rows);
  detail::require_size("layer_norm", "dy", dy, x.numel());
  if (dx.defined()) detail::require_size("layer_norm", "dx", dx, x.numel());
  if (dweight.defined()) detail::require_size("layer_norm", "dweight", dweight, channels);
  if (dbias.defined()) detail::require_size("layer_norm", "dbias", dbias, channels);
  dispatch_floating(x.dtype(), "layer_norm", [&]<typename T>() {
    const T *px = x.data<T>(), *pweight = weight.data<T>(), *pdy = dy.data<T>();
    const T *pmean = mean.data<T>(), *pinv_std = inv_std.data<T>();
    T* pdx = dx.defined() ? dx.mutable_data<T>() : nullptr;
    const bool parameters = dweight.defined() || dbias.defined();
    const auto k = kernels<T>();
    const detail::RowChunks chunks(rows, channels);
    const auto size = static_cast<std::size_t>(parameters ? chunks.count * channels : 0);
    std::vector<double> weight_sums(size, 0.0), bias_sums(size, 0.0);
    detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
      const std::int64_t row = chunks.begin(chunk), at = row * channels, length = chunks.length(chunk);
      if (parameters) {
        k.backward_parameters(px + at, pmean + row, pinv_std + row, pdy + at,
                              weight_sums.data() + chunk * channels, bias_sums.data() + chunk * channels,
                              length, channels);
      }
      if (pdx) {
        k.backward_input(px + at, pweight, pmean + row, pinv_std + row, pdy + at, pdx + at, length, channels);
      }
    });
    std::vector<double> sums(static_cast<std::size_t>(channels));
    const auto store = [&](const std::vector<double>& partial, Tensor& gradient) {
      if (!gradient.defined()) return;
      detail::add_chunks(chunks, partial.data(), channels, sums.data());
      std::copy(sums.begin(), sums.end(), gradient.mutable_data<T>());
    };
    store(weight_sums, dweight);
    store(bias_sums, dbias);
  });
}

}  // namespace fer
#endif
