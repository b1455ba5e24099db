// Batch norm (Ioffe and Szegedy 2015) over the rows of x, rows x C:
//   y = (x - mean) inv_std weight + bias,    inv_std = 1 / sqrt(var + eps)
// Training, with xhat = (x - mean) inv_std and means over the rows:
//   dbias = sum dy,  dweight = sum dy xhat,  dx = weight inv_std (dy - mean(dy) - xhat mean(dy xhat))
// Evaluation, where mean and var are constants: dx = weight inv_std dy.
// With a slope, the y above is z, and y = prelu(z, slope). Backward recomputes z. It first computes
// dz = dy (z > 0 ? 1 : slope), which replaces dy in the equations above, and dslope = sum of dy z where
// z <= 0. Forward can also add a residual to y, and backward another gradient of x to dx.
// Statistics and gradient sums use column_reduce.h. One pass computes both moments, in double and relative to
// the first row, so that a large mean is removed before squaring. The thread that has a channel's sums also
// computes what follows from them (running statistics, constants of dx). y and dx use column_map.h.
// A batch that several processes share takes the same sums and maps. In between, the thread stores its sums
// for the other processes, and a sum over the processes' sums ends in what follows.
// Floor in float: 12 bytes per element forward (x twice, y), 20 backward (x and dy twice, dx). In bf16 it is
// half of that; bf16 values are widened before any arithmetic.
#include <initializer_list>
#include <utility>

#include "cuda/column_map.h"
#include "cuda/column_reduce.h"
#include "cuda/device_backend.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

template <typename T>
struct Pair {
  T a, b;
};

template <typename S>
struct Moments {
  const S* x;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int c, double (&sums)[2]) const {
    const double d = widen_to_double(x[row * columns + c]) - widen_to_double(x[c]);
    sums[0] += d;
    sums[1] += d * d;
  }
};

/// Stores what follows from the mean of n rows and the sum of squares about it.
template <typename T>
struct Statistics {
  double momentum, eps;
  T *mean, *inv_std, *running_mean, *running_var;

  __device__ __forceinline__ void store(int c, double n, double batch_mean, double squares) const {
    const double raw_var = squares / n;
    const double var = raw_var < 0.0 ? 0.0 : raw_var;  // a NaN stays, so that it is not hidden
    const double batch_inv_std = gpu::rsqrt(var + eps), unbiased = n / gpu::max(n - 1.0, 1.0);
    mean[c] = static_cast<T>(batch_mean);
    inv_std[c] = static_cast<T>(batch_inv_std);
    running_mean[c] =
        static_cast<T>((1.0 - momentum) * static_cast<double>(running_mean[c]) + momentum * batch_mean);
    running_var[c] =
        static_cast<T>((1.0 - momentum) * static_cast<double>(running_var[c]) + momentum * var * unbiased);
  }
};

/// Turns the sums of Moments into statistics, or stores them in `moments` (3 x C) if that is not null.
template <typename S>
struct FinishMoments {
  const S* x;
  double rows;
  Statistics<Wide<S>> statistics;
  double* moments;
  index_t columns;

  __device__ __forceinline__ void operator()(index_t, index_t, int c, const double (&sums)[2]) const {
    const double shifted_mean = sums[0] / rows, batch_mean = widen_to_double(x[c]) + shifted_mean;
    const double squares = sums[1] - sums[0] * shifted_mean;
    if (moments == nullptr) {
      statistics.store(c, rows, batch_mean, squares);
    } else {
      moments[c] = rows;
      moments[columns + c] = batch_mean;
      moments[2 * columns + c] = squares;
    }
  }
};

/// The moments of all parts of a batch, about the mean of the first part: sums of n, n d and n d^2 + squares.
struct MergeMoments {
  const double* moments;  ///< parts x 3 x C
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t part, int c, double (&sums)[3]) const {
    const double* p = moments + part * 3 * columns + c;
    const double n = p[0], d = p[columns] - moments[columns + c];
    sums[0] += n;
    sums[1] += n * d;
    sums[2] += p[2 * columns] + n * d * d;
  }
};
template <typename T>
struct FinishMerge {
  const double* moments;
  index_t columns;
  Statistics<T> statistics;
  __device__ __forceinline__ void operator()(index_t, index_t, int c, const double (&sums)[3]) const {
    const double shifted_mean = sums[1] / sums[0];
    statistics.store(c, sums[0], moments[columns + c] + shifted_mean, sums[2] - sums[1] * shifted_mean);
  }
};

template <typename T>
__device__ __forceinline__ T inverse_deviation(T var, double eps) {
  return static_cast<T>(gpu::rsqrt(static_cast<double>(var) + eps));
}

/// z = (x - mean) scale + bias, where scale = weight times inv_std, or times 1 / sqrt(var + eps) if var is
/// given. slope: null, or y = prelu(z, slope).
template <typename T>
struct NormLine {
  const T *mean, *weight, *bias, *slope, *inv_std, *var;
  double eps;
  struct Channel {
    T mean, scale, bias, slope;
    __device__ __forceinline__ T operator()(T x) const { return (x - mean) * scale + bias; }
  };
  __device__ __forceinline__ Channel channel(int c) const {
    const T deviation = var == nullptr ? inv_std[c] : inverse_deviation(var[c], eps);
    return {mean[c], weight[c] * deviation, bias[c], slope == nullptr ? T(1) : slope[c]};
  }
};

template <typename S>
struct Normalise {
  using T = Wide<S>;
  const S *x, *residual;  ///< residual: may be null
  NormLine<T> line;
  S* y;
  __device__ __forceinline__ auto channel(int c) const { return line.channel(c); }
  __device__ __forceinline__ Pair<T> load(index_t i) const {
    return {widen(x[i]), residual == nullptr ? T(0) : widen(residual[i])};
  }
  __device__ __forceinline__ void store(const typename NormLine<T>::Channel& c, index_t i, Pair<T> v) const {
    const T z = c(v.a);
    y[i] = narrow<S>((z > T(0) ? z : z * c.slope) + v.b);
  }
};

/// The sums of dz, of dz (x - mean), and of dy z where z <= 0.
template <typename S>
struct GradientSums {
  using T = Wide<S>;
  const S *x, *dy;
  NormLine<T> line;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int c, double (&sums)[3]) const {
    const index_t i = row * columns + c;
    auto g = widen_to_double(dy[i]);
    if (line.slope != nullptr) {
      const T z = line.channel(c)(widen(x[i]));
      if (!(z > T(0))) {
        sums[2] += g * static_cast<double>(z);
        g *= static_cast<double>(line.slope[c]);
      }
    }
    sums[0] += g;
    sums[1] += g * (widen_to_double(x[i]) - static_cast<double>(line.mean[c]));
  }
};

/// Turns these sums into the parameters' gradients and the constants of dx, which is linear in x - mean:
/// dx = scale dz + (slope (x - mean) + offset). `lines` holds C slopes, then C offsets. `shared` (3 x C) gets
/// what the other processes need for theirs. Every output may be null.
template <typename T>
struct GradientConstants {
  NormLine<T> line;
  double rows;  ///< 0: sums[2], as in `shared`
  T *dweight, *dbias, *dslope, *lines;
  double* shared;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t, int c, const double (&sums)[3]) const {
    const auto s =
        static_cast<double>(line.var == nullptr ? line.inv_std[c] : inverse_deviation(line.var[c], line.eps));
    if (dbias != nullptr) dbias[c] = static_cast<T>(sums[0]);
    if (dweight != nullptr) dweight[c] = static_cast<T>(sums[1] * s);
    if (dslope != nullptr) dslope[c] = static_cast<T>(sums[2]);
    if (shared != nullptr) {
      shared[c] = sums[0];
      shared[columns + c] = sums[1];
      shared[2 * columns + c] = rows;
    }
    if (lines == nullptr) return;
    const double a = s * static_cast<double>(line.weight[c]), n = rows > 0.0 ? rows : sums[2];
    lines[c] = static_cast<T>(-a * s * s * sums[1] / n);
    lines[columns + c] = static_cast<T>(-a * sums[0] / n);
  }
};

template <typename S>
struct BatchNormBackward {
  using T = Wide<S>;
  const S *x, *dy, *addend;  ///< addend: may be null, or dx
  const T* lines;
  NormLine<T> line;
  index_t columns;
  S* dx;
  struct Channel {
    typename NormLine<T>::Channel line;
    T slope, offset;
  };
  struct Loaded {
    T x, dy, addend;
  };
  __device__ __forceinline__ Channel channel(int c) const {
    return {line.channel(c), lines[c], lines[columns + c]};
  }
  __device__ __forceinline__ Loaded load(index_t i) const {
    return {widen(x[i]), widen(dy[i]), addend == nullptr ? T(0) : widen(addend[i])};
  }
  __device__ __forceinline__ void store(const Channel& c, index_t i, const Loaded& v) const {
    const T dz = c.line(v.x) > T(0) ? v.dy : v.dy * c.line.slope;
    dx[i] = narrow<S>(c.line.scale * dz + (c.slope * (v.x - c.line.mean) + c.offset) + v.addend);
  }
};

template <typename S>
struct BatchNormEvalBackward {
  using T = Wide<S>;
  const S* dy;
  const T *weight, *var;
  double eps;
  S* dx;
  __device__ __forceinline__ T channel(int c) const { return inverse_deviation(var[c], eps) * weight[c]; }
  __device__ __forceinline__ T load(index_t i) const { return widen(dy[i]); }
  __device__ __forceinline__ void store(T scale, index_t i, T v) const { dx[i] = narrow<S>(scale * v); }
};

template <typename T>
NormLine<T> norm_line(const Tensor& weight, const Tensor& bias, const Tensor& slope, const Tensor& mean,
                      const Tensor& inv_std) {
  return {mean.data<T>(),
          weight.data<T>(),
          bias.data<T>(),
          data_or_null<T>(slope),
          inv_std.data<T>(),
          nullptr,
          0};
}

using NamedTensor = std::pair<const char*, const Tensor*>;

/// Undefined tensors are not checked.
void check_size(index_t size, std::initializer_list<NamedTensor> tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (tensor->defined()) require_size("batch_norm", name, *tensor, size);
  }
}

template <typename T>
Statistics<T> statistics_of(double momentum, double eps, Tensor& running_mean, Tensor& running_var,
                            Tensor& mean, Tensor& inv_std) {
  return {momentum,
          eps,
          mean.mutable_data<T>(),
          inv_std.mutable_data<T>(),
          running_mean.mutable_data<T>(),
          running_var.mutable_data<T>()};
}

}  // namespace

void DeviceBackend::batch_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                       const Tensor& slope, const Tensor& residual, double momentum,
                                       double eps, Tensor& running_mean, Tensor& running_var, Tensor& y,
                                       Tensor& mean, Tensor& inv_std) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  check_size(x.numel(), {{"y", &y}, {"residual", &residual}});
  check_size(channels, {{"weight", &weight},
                        {"bias", &bias},
                        {"slope", &slope},
                        {"running_mean", &running_mean},
                        {"running_var", &running_var},
                        {"mean", &mean},
                        {"inv_std", &inv_std}});
  require<ShapeError>(rows > 0, "[batch_norm] a batch without rows has no mean, x has shape ", x.shape());
  dispatch_stored(x.dtype(), "batch_norm", [&]<typename S>() {
    using T = Wide<S>;
    const S* px = stored<S>(x);
    const FinishMoments<S> finish{px, static_cast<double>(rows),
                                  statistics_of<T>(momentum, eps, running_mean, running_var, mean, inv_std),
                                  nullptr, channels};
    column_reduce<2>(*this, stream_, 1, rows, channels, Moments<S>{px, channels}, finish);
    column_map(stream_, rows, channels,
               Normalise<S>{px, stored_or_null<S>(residual), norm_line<T>(weight, bias, slope, mean, inv_std),
                            mutable_stored<S>(y)});
  });
}

void DeviceBackend::batch_norm_moments(const Tensor& x, Tensor& moments) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  require_size("batch_norm", "moments", moments, 3 * channels);
  require<ShapeError>(rows > 0, "[batch_norm] a batch without rows has no mean, x has shape ", x.shape());
  dispatch_stored(x.dtype(), "batch_norm", [&]<typename S>() {
    const S* px = stored<S>(x);
    const FinishMoments<S> finish{
        px, static_cast<double>(rows), {}, moments.mutable_data<double>(), channels};
    column_reduce<2>(*this, stream_, 1, rows, channels, Moments<S>{px, channels}, finish);
  });
}

void DeviceBackend::batch_norm_statistics(const Tensor& moments, double momentum, double eps,
                                          Tensor& running_mean, Tensor& running_var, Tensor& mean,
                                          Tensor& inv_std) {
  const index_t parts = moments.dim(0), channels = moments.shape().channels();
  require_size("batch_norm", "moments", moments, parts * 3 * channels);
  check_size(channels, {{"running_mean", &running_mean},
                        {"running_var", &running_var},
                        {"mean", &mean},
                        {"inv_std", &inv_std}});
  dispatch_floating(mean.dtype(), "batch_norm", [&]<typename T>() {
    const double* pmoments = moments.data<double>();
    const FinishMerge<T> finish{pmoments, channels,
                                statistics_of<T>(momentum, eps, running_mean, running_var, mean, inv_std)};
    column_reduce<3>(*this, stream_, 1, parts, channels, MergeMoments{pmoments, channels}, finish);
  });
}

void DeviceBackend::batch_norm_apply(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                     const Tensor& slope, const Tensor& residual, const Tensor& mean,
                                     const Tensor& inv_std, Tensor& y) {
  check_size(x.numel(), {{"y", &y}, {"residual", &residual}});
  check_size(
      x.shape().channels(),
      {{"weight", &weight}, {"bias", &bias}, {"slope", &slope}, {"mean", &mean}, {"inv_std", &inv_std}});
  dispatch_stored(x.dtype(), "batch_norm", [&]<typename S>() {
    column_map(stream_, x.shape().rows(), x.shape().channels(),
               Normalise<S>{stored<S>(x), stored_or_null<S>(residual),
                            norm_line<Wide<S>>(weight, bias, slope, mean, inv_std), mutable_stored<S>(y)});
  });
}

void DeviceBackend::batch_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                        const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                        const Tensor& dy, const Tensor& addend, Tensor& dx, Tensor& dweight,
                                        Tensor& dbias, Tensor& dslope) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  check_size(x.numel(), {{"dy", &dy}, {"dx", &dx}, {"addend", &addend}});
  check_size(channels, {{"weight", &weight},
                        {"bias", &bias},
                        {"slope", &slope},
                        {"mean", &mean},
                        {"inv_std", &inv_std},
                        {"dweight", &dweight},
                        {"dbias", &dbias},
                        {"dslope", &dslope}});
  dispatch_stored(x.dtype(), "batch_norm", [&]<typename S>() {
    using T = Wide<S>;
    const DeviceArray<T> lines(*this, dx.defined() ? 2 * channels : 0);
    const S *px = stored<S>(x), *pdy = stored<S>(dy);
    const NormLine<T> line = norm_line<T>(weight, bias, slope, mean, inv_std);
    const GradientConstants<T> constants{line,
                                         static_cast<double>(rows),
                                         mutable_data_or_null<T>(dweight),
                                         mutable_data_or_null<T>(dbias),
                                         mutable_data_or_null<T>(dslope),
                                         lines.data(),
                                         nullptr,
                                         channels};
    column_reduce<3>(*this, stream_, 1, rows, channels, GradientSums<S>{px, pdy, line, channels}, constants);
    if (!dx.defined()) return;
    column_map(stream_, rows, channels,
               BatchNormBackward<S>{px, pdy, stored_or_null<S>(addend), lines.data(), line, channels,
                                    mutable_stored<S>(dx)});
  });
}

void DeviceBackend::batch_norm_backward_sums(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                             const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                             const Tensor& dy, Tensor& sums, Tensor& dweight, Tensor& dbias,
                                             Tensor& dslope) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  check_size(x.numel(), {{"dy", &dy}});
  check_size(3 * channels, {{"sums", &sums}});
  check_size(channels, {{"weight", &weight},
                        {"bias", &bias},
                        {"slope", &slope},
                        {"mean", &mean},
                        {"inv_std", &inv_std},
                        {"dweight", &dweight},
                        {"dbias", &dbias},
                        {"dslope", &dslope}});
  dispatch_stored(x.dtype(), "batch_norm", [&]<typename S>() {
    using T = Wide<S>;
    const NormLine<T> line = norm_line<T>(weight, bias, slope, mean, inv_std);
    const GradientConstants<T> constants{line,
                                         static_cast<double>(rows),
                                         mutable_data_or_null<T>(dweight),
                                         mutable_data_or_null<T>(dbias),
                                         mutable_data_or_null<T>(dslope),
                                         nullptr,
                                         sums.mutable_data<double>(),
                                         channels};
    column_reduce<3>(*this, stream_, 1, rows, channels,
                     GradientSums<S>{stored<S>(x), stored<S>(dy), line, channels}, constants);
  });
}

void DeviceBackend::batch_norm_backward_apply(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                              const Tensor& slope, const Tensor& mean, const Tensor& inv_std,
                                              const Tensor& dy, const Tensor& sums, const Tensor& addend,
                                              Tensor& dx) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  check_size(x.numel(), {{"dy", &dy}, {"dx", &dx}, {"addend", &addend}});
  check_size(3 * channels, {{"sums", &sums}});
  check_size(
      channels,
      {{"weight", &weight}, {"bias", &bias}, {"slope", &slope}, {"mean", &mean}, {"inv_std", &inv_std}});
  dispatch_stored(x.dtype(), "batch_norm", [&]<typename S>() {
    using T = Wide<S>;
    const DeviceArray<T> lines(*this, 2 * channels);
    const NormLine<T> line = norm_line<T>(weight, bias, slope, mean, inv_std);
    // `sums` is read as if it were the only chunk of a column_reduce.
    const AddChunk<3> read{{const_cast<double*>(sums.data<double>()), 1, static_cast<int>(channels)}};
    column_reduce<3>(
        *this, stream_, 1, 1, channels, read,
        GradientConstants<T>{line, 0.0, nullptr, nullptr, nullptr, lines.data(), nullptr, channels});
    column_map(stream_, rows, channels,
               BatchNormBackward<S>{stored<S>(x), stored<S>(dy), stored_or_null<S>(addend), lines.data(),
                                    line, channels, mutable_stored<S>(dx)});
  });
}

void DeviceBackend::batch_norm_eval_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                            const Tensor& running_mean, const Tensor& running_var, double eps,
                                            Tensor& y) {
  require_size("batch_norm", "y", y, x.numel());
  check_size(
      x.shape().channels(),
      {{"weight", &weight}, {"bias", &bias}, {"running_mean", &running_mean}, {"running_var", &running_var}});
  dispatch_stored(x.dtype(), "batch_norm", [&]<typename S>() {
    using T = Wide<S>;
    column_map(stream_, x.shape().rows(), x.shape().channels(),
               Normalise<S>{stored<S>(x),
                            nullptr,
                            {running_mean.data<T>(), weight.data<T>(), bias.data<T>(), nullptr, nullptr,
                             running_var.data<T>(), eps},
                            mutable_stored<S>(y)});
  });
}

void DeviceBackend::batch_norm_eval_backward(const Tensor& x, const Tensor& weight,
                                             const Tensor& running_mean, const Tensor& running_var,
                                             double eps, const Tensor& dy, Tensor& dx, Tensor& dweight,
                                             Tensor& dbias) {
  const index_t rows = dy.shape().rows(), channels = dy.shape().channels();
  check_size(dy.shape().channels(), {{"weight", &weight},
                                     {"running_mean", &running_mean},
                                     {"running_var", &running_var},
                                     {"dweight", &dweight},
                                     {"dbias", &dbias}});
  if (dx.defined()) require_size("batch_norm", "dx", dx, dy.numel());
  dispatch_stored(dy.dtype(), "batch_norm", [&]<typename S>() {
    using T = Wide<S>;
    const S* pdy = stored<S>(dy);
    const T* pvar = running_var.data<T>();
    if (dweight.defined() || dbias.defined()) {
      require_size("batch_norm", "x", x, dy.numel());
      const NormLine<T> line{running_mean.data<T>(), weight.data<T>(), nullptr, nullptr, nullptr, pvar, eps};
      const GradientConstants<T> constants{line,
                                           static_cast<double>(rows),
                                           mutable_data_or_null<T>(dweight),
                                           mutable_data_or_null<T>(dbias),
                                           nullptr,
                                           nullptr,
                                           nullptr,
                                           channels};
      column_reduce<3>(*this, stream_, 1, rows, channels, GradientSums<S>{stored<S>(x), pdy, line, channels},
                       constants);
    }
    if (!dx.defined()) return;
    column_map(stream_, rows, channels,
               BatchNormEvalBackward<S>{pdy, weight.data<T>(), pvar, eps, mutable_stored<S>(dx)});
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
