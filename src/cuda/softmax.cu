// Softmax and log-softmax of each row (the last dimension). The row's maximum is subtracted first, so that
// nothing overflows.
//   y = exp(x) / sum exp(x)       dx = y (dy - sum y dy)
//   y = x - log sum exp(x)        dx = dy - exp(y) sum dy
// A warp takes a row and its lanes take neighbouring columns, so reads and writes are contiguous. A butterfly
// combines the lanes' maxima and sums; repeated reads hit the cache. Sums are in double.
// Floor in float: 8 bytes per element forward, 12 backward; one exponential per element.
#include "cuda/device_backend.h"
#include "cuda/op_support.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 128, rows_per_block = threads / warp_size;

__device__ __forceinline__ index_t warp_row() {
  return static_cast<index_t>(blockIdx.x) * rows_per_block + warp_id();
}

template <typename T>
__global__ void softmax_kernel(const T* x, bool log, T* y, index_t rows, index_t n) {
  const index_t row = warp_row();
  if (row >= rows) return;
  x += row * n;
  y += row * n;
  T largest = gpu::lowest<T>();
  for (index_t j = lane_id(); j < n; j += warp_size) largest = gpu::max(largest, x[j]);
  largest = warp_max(largest);
  double sum = 0;
  for (index_t j = lane_id(); j < n; j += warp_size) {
    const T e = gpu::exp(x[j] - largest);
    sum += static_cast<double>(e);
    if (!log) y[j] = e;
  }
  sum = warp_sum(sum);
  if (log) {
    const T log_sum = static_cast<T>(gpu::log(sum));
    for (index_t j = lane_id(); j < n; j += warp_size) y[j] = x[j] - largest - log_sum;
  } else {
    const T inverse = static_cast<T>(1.0 / sum);
    for (index_t j = lane_id(); j < n; j += warp_size) y[j] *= inverse;
  }
}

template <typename T>
__global__ void softmax_backward_kernel(const T* y, const T* dy, bool log, T* dx, index_t rows, index_t n) {
  const index_t row = warp_row();
  if (row >= rows) return;
  y += row * n;
  dy += row * n;
  dx += row * n;
  double sum = 0;
  for (index_t j = lane_id(); j < n; j += warp_size) {
    sum += log ? static_cast<double>(dy[j]) : static_cast<double>(y[j]) * static_cast<double>(dy[j]);
  }
  const T s = static_cast<T>(warp_sum(sum));
  for (index_t j = lane_id(); j < n; j += warp_size) {
    dx[j] = log ? dy[j] - gpu::exp(y[j]) * s : y[j] * (dy[j] - s);
  }
}

}  // namespace

void DeviceBackend::softmax_forward(const Tensor& x, bool log, Tensor& y) {
  const index_t rows = x.shape().rows(), n = x.shape().channels();
  require_size("softmax", "y", y, x.numel());
  if (x.numel() == 0) return;
  dispatch_floating(x.dtype(), "softmax", [&]<typename T>() {
    gpu::launch(softmax_kernel<T>, ceil_div(rows, rows_per_block), threads, 0, stream_, x.data<T>(), log,
                y.mutable_data<T>(), rows, n);
  });
}

void DeviceBackend::softmax_backward(const Tensor& y, const Tensor& dy, bool log, Tensor& dx) {
  const index_t rows = y.shape().rows(), n = y.shape().channels();
  require_size("softmax", "dy", dy, y.numel());
  require_size("softmax", "dx", dx, y.numel());
  if (y.numel() == 0) return;
  dispatch_floating(y.dtype(), "softmax", [&]<typename T>() {
    gpu::launch(softmax_backward_kernel<T>, ceil_div(rows, rows_per_block), threads, 0, stream_, y.data<T>(),
                dy.data<T>(), log, dx.mutable_data<T>(), rows, n);
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
