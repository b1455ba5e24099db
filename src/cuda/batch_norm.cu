// Batch norm (Ioffe and Szegedy 2015) over the rows of x, rows x C:
//   y = (x - mean) inv_std weight + bias,    inv_std = 1 / sqrt(var + eps)
// Training, with xhat = (x - mean) inv_std and means over the rows:
//   dbias = sum dy,  dweight = sum dy xhat,  dx = weight inv_std (dy - mean(dy) - xhat mean(dy xhat))
// Evaluation, where mean and var are constants: dx = weight inv_std dy.
// Statistics and gradient sums are column_reduce.h: one pass for both moments, in double about the first row,
// so that a large mean is gone before anything is squared; what follows from a channel's sums (the running
// statistics, the constants of dx) is computed by the thread that has them. y and dx are column_map.h.
// Floor in float: 12 bytes an element forward (x twice, y), 20 backward (x and dy twice, dx).
#include "cuda/column_map.h"
#include "cuda/column_reduce.h"
#include "cuda/device_backend.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

template <typename T>
struct Moments {
  const T* x;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int c, double (&sums)[2]) const {
    const double d = static_cast<double>(x[row * columns + c]) - static_cast<double>(x[c]);
    sums[0] += d;
    sums[1] += d * d;
  }
};

template <typename T>
struct BatchStatistics {
  const T *x, *weight;
  double rows, momentum, eps;
  T *mean, *inv_std, *running_mean, *running_var, *scale;

  __device__ __forceinline__ void operator()(index_t, index_t, int c, const double (&sums)[2]) const {
    const double shifted_mean = sums[0] / rows, batch_mean = static_cast<double>(x[c]) + shifted_mean;
    const double raw_var = (sums[1] - sums[0] * shifted_mean) / rows;
    const double var = raw_var < 0.0 ? 0.0 : raw_var;  // NaN stays: what is not finite shall be seen
    const double batch_inv_std = gpu::rsqrt(var + eps), unbiased = rows / gpu::max(rows - 1.0, 1.0);
    mean[c] = static_cast<T>(batch_mean);
    inv_std[c] = static_cast<T>(batch_inv_std);
    scale[c] = static_cast<T>(batch_inv_std * static_cast<double>(weight[c]));
    running_mean[c] =
        static_cast<T>((1.0 - momentum) * static_cast<double>(running_mean[c]) + momentum * batch_mean);
    running_var[c] =
        static_cast<T>((1.0 - momentum) * static_cast<double>(running_var[c]) + momentum * var * unbiased);
  }
};

template <typename T>
__device__ __forceinline__ T inverse_deviation(T var, double eps) {
  return static_cast<T>(gpu::rsqrt(static_cast<double>(var) + eps));
}

/// y = (x - mean) scale + bias; where var is given, scale is the weight and 1 / sqrt(var + eps) is applied.
template <typename T>
struct Normalise {
  const T *x, *mean, *scale, *bias, *var;
  double eps;
  T* y;
  struct Channel {
    T mean, scale, bias;
  };
  __device__ __forceinline__ Channel channel(int c) const {
    const T factor = var == nullptr ? T(1) : inverse_deviation(var[c], eps);
    return {mean[c], scale[c] * factor, bias[c]};
  }
  __device__ __forceinline__ T load(index_t i) const { return x[i]; }
  __device__ __forceinline__ void store(const Channel& c, index_t i, T v) const {
    y[i] = (v - c.mean) * c.scale + c.bias;
  }
};

/// Sums of dy and of dy (x - mean).
template <typename T>
struct GradientSums {
  const T *x, *dy, *mean;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int c, double (&sums)[2]) const {
    const index_t i = row * columns + c;
    const auto g = static_cast<double>(dy[i]);
    sums[0] += g;
    sums[1] += g * (static_cast<double>(x[i]) - static_cast<double>(mean[c]));
  }
};

/// What follows from them: the parameters' gradients, and dx as a line in x - mean:
/// dx = scale dy + (slope (x - mean) + offset). Each may be null (lines: all three of C).
template <typename T>
struct GradientConstants {
  const T *weight, *inv_std, *var;
  double rows, eps;
  T *dweight, *dbias, *lines;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t, int c, const double (&sums)[2]) const {
    const auto s = static_cast<double>(var == nullptr ? inv_std[c] : inverse_deviation(var[c], eps));
    if (dbias != nullptr) dbias[c] = static_cast<T>(sums[0]);
    if (dweight != nullptr) dweight[c] = static_cast<T>(sums[1] * s);
    if (lines == nullptr) return;
    const double a = s * static_cast<double>(weight[c]);
    lines[c] = static_cast<T>(a);
    lines[columns + c] = static_cast<T>(-a * s * s * sums[1] / rows);
    lines[2 * columns + c] = static_cast<T>(-a * sums[0] / rows);
  }
};

template <typename T>
struct BatchNormBackward {
  const T *x, *dy, *mean, *lines;
  index_t columns;
  T* dx;
  struct Channel {
    T mean, scale, slope, offset;
  };
  struct Loaded {
    T x, dy;
  };
  __device__ __forceinline__ Channel channel(int c) const {
    return {mean[c], lines[c], lines[columns + c], lines[2 * columns + c]};
  }
  __device__ __forceinline__ Loaded load(index_t i) const { return {x[i], dy[i]}; }
  __device__ __forceinline__ void store(const Channel& c, index_t i, const Loaded& v) const {
    dx[i] = c.scale * v.dy + (c.slope * (v.x - c.mean) + c.offset);
  }
};

template <typename T>
struct BatchNormEvalBackward {
  const T *dy, *weight, *var;
  double eps;
  T* dx;
  __device__ __forceinline__ T channel(int c) const { return inverse_deviation(var[c], eps) * weight[c]; }
  __device__ __forceinline__ T load(index_t i) const { return dy[i]; }
  __device__ __forceinline__ void store(T scale, index_t i, T v) const { dx[i] = scale * v; }
};

void check_channels(const Tensor& x, std::initializer_list<std::pair<const char*, const Tensor*>> vectors) {
  for (const auto& [name, tensor] : vectors) {
    if (tensor->defined()) require_size("batch_norm", name, *tensor, x.shape().channels());
  }
}

}  // namespace

void DeviceBackend::batch_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                       double momentum, double eps, Tensor& running_mean, Tensor& running_var,
                                       Tensor& y, Tensor& mean, Tensor& inv_std) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  require_size("batch_norm", "y", y, x.numel());
  check_channels(x, {{"weight", &weight},
                     {"bias", &bias},
                     {"running_mean", &running_mean},
                     {"running_var", &running_var},
                     {"mean", &mean},
                     {"inv_std", &inv_std}});
  require<ShapeError>(rows > 0, "[batch_norm] a batch without rows has no mean, x has shape ", x.shape());
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const DeviceArray<T> scale(*this, channels);
    const T* px = x.data<T>();
    const BatchStatistics<T> statistics{px,
                                        weight.data<T>(),
                                        static_cast<double>(rows),
                                        momentum,
                                        eps,
                                        mean.mutable_data<T>(),
                                        inv_std.mutable_data<T>(),
                                        running_mean.mutable_data<T>(),
                                        running_var.mutable_data<T>(),
                                        scale.data()};
    column_reduce<2>(*this, stream_, 1, rows, channels, Moments<T>{px, channels}, statistics);
    column_map(
        stream_, rows, channels,
        Normalise<T>{px, mean.data<T>(), scale.data(), bias.data<T>(), nullptr, 0, y.mutable_data<T>()});
  });
}

void DeviceBackend::batch_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& mean,
                                        const Tensor& inv_std, const Tensor& dy, Tensor& dx, Tensor& dweight,
                                        Tensor& dbias) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  require_size("batch_norm", "dy", dy, x.numel());
  if (dx.defined()) require_size("batch_norm", "dx", dx, x.numel());
  check_channels(x, {{"weight", &weight},
                     {"mean", &mean},
                     {"inv_std", &inv_std},
                     {"dweight", &dweight},
                     {"dbias", &dbias}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    const DeviceArray<T> lines(*this, dx.defined() ? 3 * channels : 0);
    const T *px = x.data<T>(), *pdy = dy.data<T>(), *pmean = mean.data<T>();
    const GradientConstants<T> constants{weight.data<T>(),
                                         inv_std.data<T>(),
                                         nullptr,
                                         static_cast<double>(rows),
                                         0,
                                         mutable_data_or_null<T>(dweight),
                                         mutable_data_or_null<T>(dbias),
                                         lines.data(),
                                         channels};
    column_reduce<2>(*this, stream_, 1, rows, channels, GradientSums<T>{px, pdy, pmean, channels}, constants);
    if (!dx.defined()) return;
    column_map(stream_, rows, channels,
               BatchNormBackward<T>{px, pdy, pmean, lines.data(), channels, dx.mutable_data<T>()});
  });
}

void DeviceBackend::batch_norm_eval_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                            const Tensor& running_mean, const Tensor& running_var, double eps,
                                            Tensor& y) {
  require_size("batch_norm", "y", y, x.numel());
  check_channels(
      x,
      {{"weight", &weight}, {"bias", &bias}, {"running_mean", &running_mean}, {"running_var", &running_var}});
  dispatch_floating(x.dtype(), "batch_norm", [&]<typename T>() {
    column_map(stream_, x.shape().rows(), x.shape().channels(),
               Normalise<T>{x.data<T>(), running_mean.data<T>(), weight.data<T>(), bias.data<T>(),
                            running_var.data<T>(), eps, y.mutable_data<T>()});
  });
}

void DeviceBackend::batch_norm_eval_backward(const Tensor& x, const Tensor& weight,
                                             const Tensor& running_mean, const Tensor& running_var,
                                             double eps, const Tensor& dy, Tensor& dx, Tensor& dweight,
                                             Tensor& dbias) {
  const index_t rows = dy.shape().rows(), channels = dy.shape().channels();
  check_channels(dy, {{"weight", &weight},
                      {"running_mean", &running_mean},
                      {"running_var", &running_var},
                      {"dweight", &dweight},
                      {"dbias", &dbias}});
  if (dx.defined()) require_size("batch_norm", "dx", dx, dy.numel());
  dispatch_floating(dy.dtype(), "batch_norm", [&]<typename T>() {
    const T *pdy = dy.data<T>(), *pvar = running_var.data<T>();
    if (dweight.defined() || dbias.defined()) {
      require_size("batch_norm", "x", x, dy.numel());
      const GradientConstants<T> constants{nullptr,
                                           nullptr,
                                           pvar,
                                           static_cast<double>(rows),
                                           eps,
                                           mutable_data_or_null<T>(dweight),
                                           mutable_data_or_null<T>(dbias),
                                           nullptr,
                                           channels};
      column_reduce<2>(*this, stream_, 1, rows, channels,
                       GradientSums<T>{x.data<T>(), pdy, running_mean.data<T>(), channels}, constants);
    }
    if (!dx.defined()) return;
    column_map(stream_, rows, channels,
               BatchNormEvalBackward<T>{pdy, weight.data<T>(), pvar, eps, dx.mutable_data<T>()});
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
