// Layer norm (Ba et al. 2016) of each row of x, rows x C:
//   y = xhat weight + bias,  xhat = (x - mean) inv_std,  inv_std = 1 / sqrt(var + eps)
//   dx = inv_std (g - mean(g) - xhat mean(g xhat)),  g = dy weight,  means over the row
//   dweight = sum over rows of dy xhat,  dbias = sum over rows of dy
// A warp takes a row and its lanes take neighbouring channels, so every read is contiguous. The row is read
// for the mean, for the variance and for y; the second and third reads hit the cache. Sums are in double and
// combine the lanes by butterfly. The parameters' gradients use column_reduce.h.
// Floor in float: 8 bytes per element forward, 20 backward (x and dy for dx, and again for the parameters).
#include "cuda/column_reduce.h"
#include "cuda/device_backend.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 128, rows_per_block = threads / warp_size;

/// The row of this thread's warp.
__device__ __forceinline__ index_t warp_row() {
  return static_cast<index_t>(blockIdx.x) * rows_per_block + warp_id();
}

template <typename S>
__global__ void layer_norm_kernel(const S* x, const Wide<S>* weight, const Wide<S>* bias, double eps, S* y,
                                  Wide<S>* mean, Wide<S>* inv_std, index_t rows, index_t channels) {
  using T = Wide<S>;
  const index_t row = warp_row();
  if (row >= rows) return;
  x += row * channels;
  y += row * channels;
  const auto n = static_cast<double>(channels);
  double sum = 0;
  for (index_t c = lane_id(); c < channels; c += warp_size) sum += widen_to_double(x[c]);
  const double row_mean = warp_sum(sum) / n;
  double squares = 0;
  for (index_t c = lane_id(); c < channels; c += warp_size) {
    const double centred = widen_to_double(x[c]) - row_mean;
    squares += centred * centred;
  }
  const T m = static_cast<T>(row_mean), s = static_cast<T>(gpu::rsqrt(warp_sum(squares) / n + eps));
  if (lane_id() == 0) {
    mean[row] = m;
    inv_std[row] = s;
  }
  for (index_t c = lane_id(); c < channels; c += warp_size) {
    y[c] = narrow<S>((widen(x[c]) - m) * s * weight[c] + bias[c]);
  }
}

template <typename S>
__global__ void layer_norm_backward_kernel(const S* x, const Wide<S>* weight, const Wide<S>* mean,
                                           const Wide<S>* inv_std, const S* dy, S* dx, index_t rows,
                                           index_t channels) {
  using T = Wide<S>;
  const index_t row = warp_row();
  if (row >= rows) return;
  x += row * channels;
  dy += row * channels;
  dx += row * channels;
  const T m = mean[row], s = inv_std[row];
  double sum = 0, product_sum = 0;  // of g, and of g (x - mean)
  // g is rounded on its own. If the product were fused with the subtraction below, the rounding of g's mean
  // would not cancel, and in a row without variance it is multiplied by 1 / sqrt(eps).
  for (index_t c = lane_id(); c < channels; c += warp_size) {
    const T g = gpu::mul_rn(widen(dy[c]), weight[c]);
    sum += static_cast<double>(g);
    product_sum += static_cast<double>(g) * (widen_to_double(x[c]) - static_cast<double>(m));
  }
  const auto n = static_cast<double>(channels), wide_s = static_cast<double>(s);
  const T mean_g = static_cast<T>(warp_sum(sum) / n);
  const T slope = static_cast<T>(wide_s * wide_s * warp_sum(product_sum) / n);
  for (index_t c = lane_id(); c < channels; c += warp_size) {
    const T g = gpu::mul_rn(widen(dy[c]), weight[c]);
    dx[c] = narrow<S>(s * (g - mean_g - (widen(x[c]) - m) * slope));
  }
}

template <typename S>
struct ParameterTerms {
  const S* x;
  const Wide<S>*mean, *inv_std;
  const S* dy;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t, index_t row, int c, double (&sums)[2]) const {
    const index_t i = row * columns + c;
    const double g = widen_to_double(dy[i]), m = static_cast<double>(mean[row]);
    sums[0] += g * ((widen_to_double(x[i]) - m) * static_cast<double>(inv_std[row]));
    sums[1] += g;
  }
};

template <typename T>
struct ParameterStore {
  T *dweight, *dbias;  ///< each may be null
  __device__ __forceinline__ void operator()(index_t, index_t, int c, const double (&sums)[2]) const {
    if (dweight != nullptr) dweight[c] = static_cast<T>(sums[0]);
    if (dbias != nullptr) dbias[c] = static_cast<T>(sums[1]);
  }
};

}  // namespace

void DeviceBackend::layer_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps,
                                       Tensor& y, Tensor& mean, Tensor& inv_std) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  require_size("layer_norm", "weight", weight, channels);
  require_size("layer_norm", "bias", bias, channels);
  require_size("layer_norm", "y", y, x.numel());
  require_size("layer_norm", "mean", mean, rows);
  require_size("layer_norm", "inv_std", inv_std, rows);
  if (rows == 0) return;
  dispatch_stored(x.dtype(), "layer_norm", [&]<typename S>() {
    using T = Wide<S>;
    gpu::launch(layer_norm_kernel<S>, ceil_div(rows, rows_per_block), threads, 0, stream_, stored<S>(x),
                weight.data<T>(), bias.data<T>(), eps, mutable_stored<S>(y), mean.mutable_data<T>(),
                inv_std.mutable_data<T>(), rows, channels);
  });
}

void DeviceBackend::layer_norm_backward(const Tensor& x, const Tensor& weight, const Tensor& mean,
                                        const Tensor& inv_std, const Tensor& dy, Tensor& dx, Tensor& dweight,
                                        Tensor& dbias) {
  const index_t rows = x.shape().rows(), channels = x.shape().channels();
  require_size("layer_norm", "weight", weight, channels);
  require_size("layer_norm", "mean", mean, rows);
  require_size("layer_norm", "inv_std", inv_std, rows);
  require_size("layer_norm", "dy", dy, x.numel());
  if (dx.defined()) require_size("layer_norm", "dx", dx, x.numel());
  if (dweight.defined()) require_size("layer_norm", "dweight", dweight, channels);
  if (dbias.defined()) require_size("layer_norm", "dbias", dbias, channels);
  dispatch_stored(x.dtype(), "layer_norm", [&]<typename S>() {
    using T = Wide<S>;
    const S *px = stored<S>(x), *pdy = stored<S>(dy);
    const T *pmean = mean.data<T>(), *pinv_std = inv_std.data<T>();
    if (dx.defined() && rows > 0) {
      gpu::launch(layer_norm_backward_kernel<S>, ceil_div(rows, rows_per_block), threads, 0, stream_, px,
                  weight.data<T>(), pmean, pinv_std, pdy, mutable_stored<S>(dx), rows, channels);
    }
    if (dweight.defined() || dbias.defined()) {
      column_reduce<2>(*this, stream_, 1, rows, channels,
                       ParameterTerms<S>{px, pmean, pinv_std, pdy, channels},
                       ParameterStore<T>{mutable_data_or_null<T>(dweight), mutable_data_or_null<T>(dbias)});
    }
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
