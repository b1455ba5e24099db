// The kernels, one source for two devices: nvcc compiles this file for a GPU, the host compiler compiles it
// (through rms_norm_simt.cpp) for the executor that runs CUDA kernels on the CPU.
//
// Each warp processes one row. Its lanes read neighbouring channels, so that reads are coalesced, and are
// summed with shuffles. A block has four rows. Least memory traffic in float: 8 bytes per element forward, 12
// backward.
#include <fer/simt/gpu.h>
#include <fer/tensor/backend.h>

#include "rms_norm.h"

// fer::cuda under nvcc and fer::simt on the executor: one program can hold both.
namespace example::FER_DEVICE_NAMESPACE {
namespace {

using namespace fer::FER_DEVICE_NAMESPACE;
using fer::Tensor;

constexpr int threads = 128, rows_per_block = threads / warp_size;

template <typename T>
__global__ void rms_norm_kernel(const T* x, double eps, T* y, T* inverse, long long rows, int channels) {
  const long long row = static_cast<long long>(blockIdx.x) * rows_per_block + warp_id();
  if (row >= rows) return;  // for all lanes of a warp or none: the shuffles below need all of them
  x += row * channels;
  y += row * channels;
  double squares = 0;
  for (int c = lane_id(); c < channels; c += warp_size) {
    squares += static_cast<double>(x[c]) * static_cast<double>(x[c]);
  }
  const T scale = static_cast<T>(gpu::rsqrt(warp_sum(squares) / channels + eps));
  if (lane_id() == 0) inverse[row] = scale;
  for (int c = lane_id(); c < channels; c += warp_size) y[c] = x[c] * scale;
}

template <typename T>
__global__ void rms_norm_backward_kernel(const T* y, const T* inverse, const T* dy, T* dx, long long rows,
                                         int channels) {
  const long long row = static_cast<long long>(blockIdx.x) * rows_per_block + warp_id();
  if (row >= rows) return;
  y += row * channels;
  dy += row * channels;
  dx += row * channels;
  double sum = 0;
  for (int c = lane_id(); c < channels; c += warp_size) {
    sum += static_cast<double>(dy[c]) * static_cast<double>(y[c]);
  }
  const T mean = static_cast<T>(warp_sum(sum) / channels), scale = inverse[row];
  for (int c = lane_id(); c < channels; c += warp_size) dx[c] = scale * (dy[c] - y[c] * mean);
}

/// Launches on fer's stream, so that the kernel runs in order with fer's own work on the device.
template <typename... Parameters, typename... Arguments>
void launch_rows(const Tensor& x, void (*kernel)(Parameters...), long long rows, Arguments... arguments) {
  if (rows == 0) return;
  const auto stream = static_cast<gpu::Stream>(fer::backend_of(x).stream());
  gpu::launch(kernel, ceil_div(rows, rows_per_block), threads, 0, stream, arguments...);
}

void forward(const Tensor& x, double eps, Tensor& y, Tensor& inverse) {
  const long long rows = x.shape().rows(), channels = x.shape().channels();
  fer::dispatch_floating(x.dtype(), "rms_norm", [&]<typename T>() {
    launch_rows(x, rms_norm_kernel<T>, rows, x.data<T>(), eps, y.mutable_data<T>(), inverse.mutable_data<T>(),
                rows, static_cast<int>(channels));
  });
}

void backward(const Tensor& y, const Tensor& inverse, const Tensor& dy, Tensor& dx) {
  const long long rows = y.shape().rows(), channels = y.shape().channels();
  fer::dispatch_floating(y.dtype(), "rms_norm", [&]<typename T>() {
    launch_rows(y, rms_norm_backward_kernel<T>, rows, y.data<T>(), inverse.data<T>(), dy.data<T>(),
                dx.mutable_data<T>(), rows, static_cast<int>(channels));
  });
}

[[maybe_unused]] const bool registered =
    add_kernels(FER_GPU_SIMT ? fer::Device::simt : fer::Device::cuda, {forward, backward});

}  // namespace
}  // namespace example::FER_DEVICE_NAMESPACE
