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
// LeVeque 1979), and so are the parts of a batch that several processes share. The gradients' sums use the
// same chunks.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>
#include <vector>

#include "cpu/batch_norm_kernels.h"
#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

namespace fer {
namespace {

/// Two numbers per channel: first[c], second[c].
struct ChannelPairs {
  std::vector<double> first, second;

  explicit ChannelPairs(std::int64_t size)
      : first(static_cast<std::size_t>(size), 0.0), second(static_cast<std::size_t>(size), 0.0) {}
};

// The moments of `before` rows become those of `before + rows` rows. first: the means; second: the sums of
// squares about them. mean, squares: those of the other rows.
void merge_moments(ChannelPairs& all, double before, const double* mean, const double* squares, double rows) {
  const double merged_rows = before + rows;
  for (std::size_t c = 0; c < all.first.size(); ++c) {
    const double distance = mean[c] - all.first[c];
    all.first[c] += distance * rows / merged_rows;
    all.second[c] += squares[c] + distance * distance * before * rows / merged_rows;
  }
}

// first: the means over all rows; second: the sums of squares about them.
template <typename T>
ChannelPairs column_moments(const T* x, std::int64_t rows, std::int64_t channels) {
  const detail::RowChunks chunks(rows, channels);
  ChannelPairs partial(chunks.count * channels);
  const auto run = batch_norm_kernels<T>().moments;
  detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
    std::vector<T> scratch(static_cast<std::size_t>(3 * channels));
    run(x + chunks.begin(chunk) * channels, chunks.length(chunk), channels, scratch.data(),
        partial.first.data() + chunk * channels, partial.second.data() + chunk * channels);
  });
  ChannelPairs all(channels);
  for (std::int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    merge_moments(all, static_cast<double>(chunks.begin(chunk)), partial.first.data() + chunk * channels,
                  partial.second.data() + chunk * channels, static_cast<double>(chunks.length(chunk)));
  }
  return all;
}

// moments: over `rows` rows.
template <typename T>
void store_statistics(const ChannelPairs& moments, double rows, double momentum, double eps,
                      Tensor& running_mean, Tensor& running_var, Tensor& mean, Tensor& inv_std) {
  T *pmean = mean.mutable_data<T>(), *pinv_std = inv_std.mutable_data<T>();
  T *prunning_mean = running_mean.mutable_data<T>(), *prunning_var = running_var.mutable_data<T>();
  const double unbiased = rows / std::max(rows - 1.0, 1.0);
  for (std::size_t c = 0; c < moments.first.size(); ++c) {
    const double batch_mean = moments.first[c];
    const double var = std::max(moments.second[c] / rows, 0.0);  // a NaN stays NaN
    pmean[c] = static_cast<T>(batch_mean);
    pinv_std[c] = static_cast<T>(1.0 / std::sqrt(var + eps));
    prunning_mean[c] = static_cast<T>((1.0 - momentum) * prunning_mean[c] + momentum * batch_mean);
    prunning_var[c] = static_cast<T>((1.0 - momentum) * prunning_var[c] + momentum * var * unbiased);
  }
}

template <typename T>
void normalise_rows(const Tensor& x, const NormLine<T>& line, const Tensor& residual, Tensor& y) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  const T *px = x.data<T>(), *presidual = residual.defined() ? residual.data<T>() : nullptr;
  T* py = y.mutable_data<T>();
  const auto run = batch_norm_kernels<T>().normalise;
  const bool stream = detail::stream_stores(y);
  detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t at = begin * channels;
    run(px + at, line, presidual ? presidual + at : nullptr, py + at, end - begin, channels, stream);
  });
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

// scale: inv_std times weight.
template <typename T>
NormLine<T> norm_line(const std::vector<T>& scale, const Tensor& bias, const Tensor& slope,
                      const Tensor& mean) {
  return {mean.data<T>(), scale.data(), bias.data<T>(), data_or_null<T>(slope)};
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
  const auto run = batch_norm_kernels<T>().gradient_sums;
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

// dx as a linear function of x - mean, so that a row needs three constants per channel. sums_dz and
// sums_product: the sums of dz and of dz (x - mean) over `rows` rows.
template <typename T>
void input_gradient(const Tensor& x, const Tensor& dy, const NormLine<T>& line, const Tensor& weight,
                    const Tensor& inv_std, const double* sums_dz, const double* sums_product, double rows,
                    const Tensor& addend, Tensor& dx) {
  const std::int64_t channels = x.shape().channels();
  const T *pinv_std = inv_std.data<T>(), *pweight = weight.data<T>();
  std::vector<T> factor(static_cast<std::size_t>(channels)), offset(factor.size());
  for (std::int64_t c = 0; c < channels; ++c) {
    const double s = static_cast<double>(pinv_std[c]), a = s * static_cast<double>(pweight[c]);
    factor[c] = static_cast<T>(-a * s * s * sums_product[c] / rows);
    offset[c] = static_cast<T>(-a * sums_dz[c] / rows);
  }
  const T *px = x.data<T>(), *pdy = dy.data<T>(), *paddend = data_or_null<T>(addend);
  T* pdx = dx.mutable_data<T>();
  const auto run = batch_norm_kernels<T>().backward;
  const bool stream = detail::stream_stores(dx) && paddend != pdx;
  detail::parallel_rows(x.shape().rows(), channels, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t at = begin * channels;
    run(px + at, pdy + at, line, factor.data(), offset.data(), paddend ? paddend + at : nullptr, pdx + at,
        end - begin, channels, stream);
  });
}

using NamedTensor = std::pair<const char*, const Tensor*>;

// Undefined tensors are not checked.
void check_size(std::int64_t size, std::initializer_list<NamedTensor> tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor->defined()) detail::require_size("batch_norm", name, *tensor, size);
  }
}

}  // namespace

void CpuBackend::batch_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                    const Tensor& slope, const Tensor& residual, double momentum, double eps,
                                    Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean,
                                    Tensor& inv_std) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  check_size(x.numel(), {{"y", &y}, {"residual", &residual}});
  check_size(x.shape().channels(), {{"weight", &weight},
                                    {"bias", &bias},
                                    {"slope", &slope},
                                    {"running_mean", &running_mean},
                                    {"running_var", &running_var},
                                    {"mean", &mean},
                                    {"inv_std", &inv_std}});
  require<ShapeError>(rows > 0, "[batch_norm] a batch without rows has no mean, x has shape ", x.shape());
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    store_statistics<T>(column_moments(x.data<T>(), rows, channels), static_cast<double>(rows), momentum, eps,
                        running_mean, running_var, mean, inv_std);
    const std::vector<T> scale = product(inv_std.data<T>(), weight.data<T>(), channels);
    normalise_rows<T>(x, norm_line(scale, bias, slope, mean), residual, y);
  });
}

void CpuBackend::batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const Tensor& slope, const Tensor& residual, const Tensor& mean,
                                  const Tensor& inv_std, Tensor& y) {
  check_size(x.numel(), {{"y", &y}, {"residual", &residual}});
  check_size(
      x.shape().channels(),
      {{"weight", &weight}, {"bias", &bias}, {"slope", &slope}, {"mean", &mean}, {"inv_std", &inv_std}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> scale = product(inv_std.data<T>(), weight.data<T>(), x.shape().channels());
    normalise_rows<T>(x, norm_line(scale, bias, slope, mean), residual, y);
  });
}

void CpuBackend::batch_norm_moments(const Tensor& x, Tensor& moments) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("batch_norm", "moments", moments, 3 * channels);
  require<ShapeError>(rows > 0, "[batch_norm] a batch without rows has no mean, x has shape ", x.shape());
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const ChannelPairs pairs = column_moments(x.data<T>(), rows, channels);
    double* out = std::fill_n(moments.mutable_data<double>(), channels, static_cast<double>(rows));
    out = std::copy(pairs.first.begin(), pairs.first.end(), out);
    std::copy(pairs.second.begin(), pairs.second.end(), out);
  });
}

void CpuBackend::batch_norm_statistics(const Tensor& moments, double momentum, double eps,
                                       Tensor& running_mean, Tensor& running_var, Tensor& mean,
                                       Tensor& inv_std) {
  const std::int64_t channels = moments.shape().channels();
  check_size(channels, {{"running_mean", &running_mean},
                        {"running_var", &running_var},
                        {"mean", &mean},
                        {"inv_std", &inv_std}});
  if (channels == 0) return;
  ChannelPairs all(channels);
  double rows = 0;
  const double* part = moments.data<double>();
  for (std::int64_t i = 0; i < moments.dim(0); ++i, part += 3 * channels) {
    merge_moments(all, rows, part + channels, part + 2 * channels, part[0]);
    rows += part[0];
  }
  dispatch_floating(mean.dtype(), "batch_norm", [&]<typename T>() {
    store_statistics<T>(all, rows, momentum, eps, running_mean, running_var, mean, inv_std);
  });
}

void CpuBackend::batch_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                     const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                     const Tensor& dy, const Tensor& addend, Tensor& dx, Tensor& dweight,
                                     Tensor& dbias, Tensor& dslope) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  check_size(x.numel(), {{"dy", &dy}, {"dx", &dx}, {"addend", &addend}});
  check_size(x.shape().channels(), {{"weight", &weight},
                                    {"bias", &bias},
                                    {"slope", &slope},
                                    {"mean", &mean},
                                    {"inv_std", &inv_std},
                                    {"dweight", &dweight},
                                    {"dbias", &dbias},
                                    {"dslope", &dslope}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> scale = product(inv_std.data<T>(), weight.data<T>(), channels);
    const NormLine<T> line = norm_line(scale, bias, slope, mean);
    const ChannelPairs sums = parameter_gradients(x, dy, line, inv_std.data<T>(), dweight, dbias, dslope);
    if (!dx.defined()) return;
    input_gradient(x, dy, line, weight, inv_std, sums.first.data(), sums.second.data(),
                   static_cast<double>(rows), addend, dx);
  });
}

void CpuBackend::batch_norm_backward_sums(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                          const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                          const Tensor& dy, Tensor& sums, Tensor& dweight, Tensor& dbias,
                                          Tensor& dslope) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("batch_norm", "dy", dy, x.numel());
  detail::require_size("batch_norm", "sums", sums, 3 * channels);
  check_size(x.shape().channels(), {{"weight", &weight},
                                    {"bias", &bias},
                                    {"slope", &slope},
                                    {"mean", &mean},
                                    {"inv_std", &inv_std},
                                    {"dweight", &dweight},
                                    {"dbias", &dbias},
                                    {"dslope", &dslope}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> scale = product(inv_std.data<T>(), weight.data<T>(), channels);
    const ChannelPairs pairs = parameter_gradients(x, dy, norm_line(scale, bias, slope, mean),
                                                   inv_std.data<T>(), dweight, dbias, dslope);
    double* out = std::copy(pairs.first.begin(), pairs.first.end(), sums.mutable_data<double>());
    out = std::copy(pairs.second.begin(), pairs.second.end(), out);
    std::fill_n(out, channels, static_cast<double>(rows));
  });
}

void CpuBackend::batch_norm_backward_apply(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                           const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                           const Tensor& dy, const Tensor& sums, const Tensor& addend,
                                           Tensor& dx) {
  const std::int64_t channels = x.shape().channels();
  detail::require_size("batch_norm", "sums", sums, 3 * channels);
  check_size(x.numel(), {{"dy", &dy}, {"dx", &dx}, {"addend", &addend}});
  check_size(
      x.shape().channels(),
      {{"weight", &weight}, {"bias", &bias}, {"slope", &slope}, {"mean", &mean}, {"inv_std", &inv_std}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const std::vector<T> scale = product(inv_std.data<T>(), weight.data<T>(), channels);
    const double* psums = sums.data<double>();
    if (channels == 0) return;
    input_gradient(x, dy, norm_line(scale, bias, slope, mean), weight, inv_std, psums, psums + channels,
                   psums[2 * channels], addend, dx);
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
  check_size(
      x.shape().channels(),
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
  check_size(dy.shape().channels(), {{"weight", &weight},
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
    const auto run = batch_norm_kernels<T>().eval_backward;
    const bool stream = detail::stream_stores(dx);
    detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
      run(pdy + begin * channels, scale.data(), pdx + begin * channels, end - begin, channels, stream);
    });
  });
}

}  // namespace fer
