// Batch norm (Ioffe and Szegedy 2015) over the rows of x, rows x C:
//   y = (x - mean) inv_std weight + bias,    inv_std = 1 / sqrt(var + eps)
// Training, with xhat = (x - mean) inv_std and means over the rows:
//   dbias = sum dy,  dweight = sum dy xhat,  dx = weight inv_std (dy - mean(dy) - xhat mean(dy xhat))
// Evaluation, where mean and var are constants: dx = weight inv_std dy.
// With a slope, the y above is z, and y = prelu(z, slope). Backward recomputes z, a multiply-add per element.
// It first computes dz = dy (z > 0 ? 1 : slope), which replaces dy in the equations above, and dslope = sum
// of dy z where z <= 0. Forward can add a residual while it writes y, and backward another gradient of x to
// dx.
//
// Moments are computed in fixed chunks of rows. A chunk takes one pass, relative to the mean of its first
// eighth. That mean is within sqrt(8) standard deviations of the chunk's mean, whatever the values, so a
// large mean cancels before anything is squared. Chunks are merged in order and in double (Chan, Golub and
// LeVeque 1979). The gradients' sums use the same chunks.
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/batch_norm.cpp"
#include "cpu/simd.h"

#ifndef FER_CPU_BATCH_NORM_KERNELS
#define FER_CPU_BATCH_NORM_KERNELS
namespace fer {
/// z = (x - mean) scale + bias, and y = prelu(z, slope), or y = z if slope is null. All have C elements.
template <typename T>
struct NormLine {
  const T *mean, *scale, *bias, *slope;
};

/// The destinations of a chunk's sums, C elements each. slope is null if there is none.
struct GradientSums {
  double *dy, *product, *slope;
};

/// x, y, dy, dx, residual, addend: rows x C; everything else: C.
template <typename T>
struct BatchNormKernels {
  /// The mean of one chunk, and squares = sum of (x - mean)^2. scratch: 3 C.
  void (*moments)(const T* x, std::int64_t rows, std::int64_t channels, T* scratch, double* mean,
                  double* squares);
  /// sums.dy += sum of dz, sums.product += sum of dz (x - mean), sums.slope += dslope. scratch: 3 C.
  void (*gradient_sums)(const T* x, const T* dy, const NormLine<T>& line, std::int64_t rows,
                        std::int64_t channels, T* scratch, const GradientSums& sums);
  /// y = prelu(line(x)) + residual (or null). stream, here and below: the stores bypass the cache.
  void (*normalise)(const T* x, const NormLine<T>& line, const T* residual, T* y, std::int64_t rows,
                    std::int64_t channels, bool stream);
  /// dx = line.scale dz + (factor (x - mean) + offset) + addend (or null)
  void (*backward)(const T* x, const T* dy, const NormLine<T>& line, const T* factor, const T* offset,
                   const T* addend, T* dx, std::int64_t rows, std::int64_t channels, bool stream);
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

// Calls body with constants: whether there is a slope, and whether there is another operand.
template <typename Body>
HWY_INLINE void with_options(const void* slope, const void* operand, const Body& body) {
  if (slope && operand) return body(std::true_type(), std::true_type());
  if (slope) return body(std::true_type(), std::false_type());
  if (operand) return body(std::false_type(), std::true_type());
  body(std::false_type(), std::false_type());
}

// z of a vector x that starts at channel c.
template <typename D, typename V, typename T>
HWY_INLINE V normalised(D d, V x, const NormLine<T>& line, std::int64_t c) {
  return hn::MulAdd(hn::Sub(x, hn::LoadU(d, line.mean + c)), hn::LoadU(d, line.scale + c),
                    hn::LoadU(d, line.bias + c));
}

template <typename T>
void gradient_sums(const T* x, const T* dy, const NormLine<T>& line, std::int64_t rows, std::int64_t n,
                   T* scratch, const GradientSums& out) {
  const NormLine<T> l = line;
  if (!l.slope) {
    double* const sums[] = {out.dy, out.product};
    add_rows(rows, n, scratch, sums, [=](auto d, std::int64_t i, std::int64_t c, auto add) HWY_ATTR {
      const auto g = hn::LoadU(d, dy + i * n + c);
      add(0, g);
      add(1, hn::Mul(g, hn::Sub(hn::LoadU(d, x + i * n + c), hn::LoadU(d, l.mean + c))));
    });
    return;
  }
  double* const sums[] = {out.dy, out.product, out.slope};
  add_rows(rows, n, scratch, sums, [=](auto d, std::int64_t i, std::int64_t c, auto add) HWY_ATTR {
    const auto v = hn::LoadU(d, x + i * n + c), z = normalised(d, v, l, c), g = hn::LoadU(d, dy + i * n + c);
    const auto positive = hn::Gt(z, hn::Zero(d));
    const auto dz = hn::IfThenElse(positive, g, hn::Mul(g, hn::LoadU(d, l.slope + c)));
    add(0, dz);
    add(1, hn::Mul(dz, hn::Sub(v, hn::LoadU(d, l.mean + c))));
    add(2, hn::IfThenZeroElse(positive, hn::Mul(g, z)));
  });
}

template <typename T>
void normalise(const T* x, const NormLine<T>& line, const T* residual, T* y, std::int64_t rows,
               std::int64_t n, bool stream) {
  const NormLine<T> l = line;
  with_stores(stream, y, rows, n, [=](auto streamed) HWY_ATTR {
    with_options(l.slope, residual, [=](auto sloped, auto added) HWY_ATTR {
      for (std::int64_t i = 0; i < rows; ++i) {
        for_vectors<T>(n, [=](auto d, std::int64_t c) HWY_ATTR {
          auto z = normalised(d, hn::LoadU(d, x + i * n + c), l, c);
          if constexpr (sloped.value)
            z = hn::IfThenElse(hn::Gt(z, hn::Zero(d)), z, hn::Mul(z, hn::LoadU(d, l.slope + c)));
          if constexpr (added.value) z = hn::Add(z, hn::LoadU(d, residual + i * n + c));
          store(streamed, z, d, y + i * n + c);
        });
      }
    });
  });
}

template <typename T>
void backward(const T* x, const T* dy, const NormLine<T>& line, const T* factor, const T* offset,
              const T* addend, T* dx, std::int64_t rows, std::int64_t n, bool stream) {
  const NormLine<T> l = line;
  with_stores(stream, dx, rows, n, [=](auto streamed) HWY_ATTR {
    with_options(l.slope, addend, [=](auto sloped, auto added) HWY_ATTR {
      for (std::int64_t i = 0; i < rows; ++i) {
        for_vectors<T>(n, [=](auto d, std::int64_t c) HWY_ATTR {
          const std::int64_t at = i * n + c;
          const auto v = hn::LoadU(d, x + at);
          auto g = hn::LoadU(d, dy + at);
          if constexpr (sloped.value)
            g = hn::IfThenElse(hn::Gt(normalised(d, v, l, c), hn::Zero(d)), g,
                               hn::Mul(g, hn::LoadU(d, l.slope + c)));
          const auto centred = hn::Sub(v, hn::LoadU(d, l.mean + c));
          auto rest = hn::MulAdd(centred, hn::LoadU(d, factor + c), hn::LoadU(d, offset + c));
          if constexpr (added.value) rest = hn::Add(rest, hn::LoadU(d, addend + at));
          store(streamed, hn::MulAdd(g, hn::LoadU(d, l.scale + c), rest), d, dx + at);
        });
      }
    });
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

/// Two numbers per channel: first[c], second[c].
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
void normalise_rows(const Tensor& x, const NormLine<T>& line, const Tensor& residual, Tensor& y) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  const T *px = x.data<T>(), *presidual = residual.defined() ? residual.data<T>() : nullptr;
  T* py = y.mutable_data<T>();
  const auto run = kernels<T>().normalise;
  const bool stream = detail::stream_stores(y);
  detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t at = begin * channels;
    run(px + at, line, presidual ? presidual + at : nullptr, py + at, end - begin, channels, stream);
  });
}

// The sums of dz and of dz (x - mean), and from them the gradients of those parameters that need one.
template <typename T>
ChannelPairs parameter_gradients(const Tensor& x, const Tensor& dy, const NormLine<T>& line, const T* inv_std,
                                 Tensor& dweight, Tensor& dbias, Tensor& dslope) {
  const std::int64_t channels = x.shape().channels();
  const detail::RowChunks chunks(x.shape().rows(), channels);
  ChannelPairs partial(chunks.count * channels), sums(channels);
  std::vector<double> slope_partial(line.slope ? partial.first.size() : 0), slope_sum(sums.first.size());
  const T *px = x.data<T>(), *pdy = dy.data<T>();
  const auto run = kernels<T>().gradient_sums;
  detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
    const std::int64_t at = chunks.begin(chunk) * channels;
    std::vector<T> scratch(static_cast<std::size_t>(3 * channels));
    run(px + at, pdy + at, line, chunks.length(chunk), channels, scratch.data(),
        {partial.first.data() + chunk * channels, partial.second.data() + chunk * channels,
         line.slope ? slope_partial.data() + chunk * channels : nullptr});
  });
  detail::add_chunks(chunks, partial.first.data(), channels, sums.first.data());
  detail::add_chunks(chunks, partial.second.data(), channels, sums.second.data());
  if (dbias.defined()) std::copy(sums.first.begin(), sums.first.end(), dbias.mutable_data<T>());
  if (dweight.defined()) {
    T* p = dweight.mutable_data<T>();
    for (std::int64_t c = 0; c < channels; ++c) p[c] = static_cast<T>(sums.second[c] * inv_std[c]);
  }
  if (dslope.defined() && line.slope) {
    detail::add_chunks(chunks, slope_partial.data(), channels, slope_sum.data());
    std::copy(slope_sum.begin(), slope_sum.end(), dslope.mutable_data<T>());
  }
  return sums;
}

template <typename T>
std::vector<T> product(const T* a, const T* b, std::int64_t size) {
  std::vector<T> y(static_cast<std::size_t>(size));
  for (std::int64_t c = 0; c < size; ++c) y[c] = a[c] * b[c];
  return y;
}

template <typename T>
const T* data_or_null(const Tensor& tensor) {
  return tensor.defined() ? tensor.data<T>() : nullptr;
}

void check_channels(const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> vectors) {
  for (const auto& [name, tensor] : vectors) {
    if (tensor->defined()) detail::require_size("batch_norm", name, *tensor, x.shape().channels());
  }
}

}  // namespace

void CpuBackend::batch_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    const Tensor& slope, const Tensor& residual, double momentum, double eps,
                                    Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean,
                                    Tensor& inv_std) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("batch_norm", "y", y, x.numel());
  if (residual.defined()) detail::require_size("batch_norm", "residual", residual, x.numel());
  check_channels(x, {{"weight", &weight},
                     {"bias", &bias},
                     {"slope", &slope},
                     {"running_mean", &running_mean},
                     {"running_var", &running_var},
                     {"mean", &mean},
                     {"inv_std", &inv_std}});
  require<ShapeError>(rows > 0, "[batch_norm] a batch without rows has no mean, x has shape ", x.shape());
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    T *pmean = mean.mutable_data<T>(), *pinv_std = inv_std.mutable_data<T>();
    T *prunning_mean = running_mean.mutable_data<T>(), *prunning_var = running_var.mutable_data<T>();
    const ChannelPairs moments = column_moments(x.data<T>(), rows, channels);
    const auto n = static_cast<double>(rows), unbiased = n / std::max(n - 1.0, 1.0);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double batch_mean = moments.first[c];
      const double var = std::max(moments.second[c] / n, 0.0);  // a NaN stays NaN
      pmean[c] = static_cast<T>(batch_mean);
      pinv_std[c] = static_cast<T>(1.0 / std::sqrt(var + eps));
      prunning_mean[c] = static_cast<T>((1.0 - momentum) * prunning_mean[c] + momentum * batch_mean);
      prunning_var[c] = static_cast<T>((1.0 - momentum) * prunning_var[c] + momentum * var * unbiased);
    }
    const std::vector<T> scale = product(pinv_std, weight.data<T>(), channels);
    normalise_rows<T>(x, {pmean, scale.data(), bias.data<T>(), data_or_null<T>(slope)}, residual, y);
  });
}

void CpuBackend::batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const Tensor& slope, const Tensor& mean, const Tensor& inv_std, Tensor& y) {
  detail::require_size("batch_norm", "y", y, x.numel());
  check_channels(
      x, {{"weight", &weight}, {"bias", &bias}, {"slope", &slope}, {"mean", &mean}, {"inv_std", &inv_std}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> scale = product(inv_std.data<T>(), weight.data<T>(), x.shape().channels());
    normalise_rows<T>(x, {mean.data<T>(), scale.data(), bias.data<T>(), data_or_null<T>(slope)}, Tensor(), y);
  });
}

void CpuBackend::batch_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                     const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                     const Tensor& dy, const Tensor& addend, Tensor& dx, Tensor& dweight,
                                     Tensor& dbias, Tensor& dslope) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("batch_norm", "dy", dy, x.numel());
  if (dx.defined()) detail::require_size("batch_norm", "dx", dx, x.numel());
  if (addend.defined()) detail::require_size("batch_norm", "addend", addend, x.numel());
  check_channels(x, {{"weight", &weight},
                     {"bias", &bias},
                     {"slope", &slope},
                     {"mean", &mean},
                     {"inv_std", &inv_std},
                     {"dweight", &dweight},
                     {"dbias", &dbias},
                     {"dslope", &dslope}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const T *pinv_std = inv_std.data<T>(), *pweight = weight.data<T>();
    const std::vector<T> scale = product(pinv_std, pweight, channels);
    const NormLine<T> line{mean.data<T>(), scale.data(), bias.data<T>(), data_or_null<T>(slope)};
    const ChannelPairs sums = parameter_gradients(x, dy, line, pinv_std, dweight, dbias, dslope);
    if (!dx.defined()) return;
    // dx as a linear function of x - mean, so that a row needs three constants per channel.
    const auto size = static_cast<std::size_t>(channels);
    std::vector<T> factor(size), offset(size);
    const auto n = static_cast<double>(rows);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double s = static_cast<double>(pinv_std[c]), a = s * static_cast<double>(pweight[c]);
      factor[c] = static_cast<T>(-a * s * s * sums.second[c] / n);
      offset[c] = static_cast<T>(-a * sums.first[c] / n);
    }
    const T *px = x.data<T>(), *pdy = dy.data<T>(), *paddend = data_or_null<T>(addend);
    T* pdx = dx.mutable_data<T>();
    const auto run = kernels<T>().backward;
    const bool stream = detail::stream_stores(dx) && paddend != pdx;
    detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t at = begin * channels;
      run(px + at, pdy + at, line, factor.data(), offset.data(), paddend ? paddend + at : nullptr, pdx + at,
          end - begin, channels, stream);
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

}  // namespace

void CpuBackend::batch_norm_eval_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                         const Tensor& running_mean, const Tensor& running_var, double eps,
                                         Tensor& y) {
  detail::require_size("batch_norm", "y", y, x.numel());
  check_channels(
      x,
      {{"weight", &weight}, {"bias", &bias}, {"running_mean", &running_mean}, {"running_var", &running_var}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> inv_std = inverse_deviation<T>(running_var, eps);
    const std::vector<T> scale = product(inv_std.data(), weight.data<T>(), x.shape().channels());
    normalise_rows<T>(x, {running_mean.data<T>(), scale.data(), bias.data<T>(), nullptr}, Tensor(), y);
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
      Tensor none;
      parameter_gradients<T>(x, dy, {running_mean.data<T>(), nullptr, nullptr, nullptr}, inv_std.data(),
                             dweight, dbias, none);
    }
    if (!dx.defined()) return;
    const std::vector<T> scale = product(inv_std.data(), weight.data<T>(), channels);
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
