// Softmax and log-softmax of each row (the last dimension). The row's maximum is subtracted, so nothing
// overflows.
//   y = exp(x) / sum exp(x)       dx = y (dy - sum y dy)
//   y = x - log sum exp(x)        dx = dy - exp(y) sum dy
#include <cmath>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

namespace fer {
namespace {

template <typename T>
void softmax_row(const T* x, bool log, T* y, std::int64_t n) {
  const T largest = *std::max_element(x, x + n);
  double sum = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const T e = std::exp(x[j] - largest);
    sum += static_cast<double>(e);
    y[j] = e;
  }
  if (log) {
    const T log_sum = static_cast<T>(std::log(sum));
    for (std::int64_t j = 0; j < n; ++j) y[j] = x[j] - largest - log_sum;
  } else {
    const T inverse = static_cast<T>(1.0 / sum);
    for (std::int64_t j = 0; j < n; ++j) y[j] *= inverse;
  }
}

template <typename T>
void softmax_backward_row(const T* y, const T* dy, bool log, T* dx, std::int64_t n) {
  double sum = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    sum += log ? static_cast<double>(dy[j]) : static_cast<double>(y[j]) * static_cast<double>(dy[j]);
  }
  const T s = static_cast<T>(sum);
  if (log) {
    for (std::int64_t j = 0; j < n; ++j) dx[j] = dy[j] - std::exp(y[j]) * s;
  } else {
    for (std::int64_t j = 0; j < n; ++j) dx[j] = y[j] * (dy[j] - s);
  }
}

// An exponential costs as much as moving about eight elements.
constexpr std::int64_t cost = 8;

}  // namespace

void CpuBackend::softmax_forward(const Tensor& x, bool log, Tensor& y) {
  const std::int64_t rows = x.shape().rows(), n = x.shape().channels();
  detail::require_size("softmax", "y", y, x.numel());
  if (n == 0) return;
  dispatch_floating(x.dtype(), "softmax", [&]<typename T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    detail::parallel_rows(rows, cost * n, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) softmax_row(px + i * n, log, py + i * n, n);
    });
  });
}

void CpuBackend::softmax_backward(const Tensor& y, const Tensor& dy, bool log, Tensor& dx) {
  const std::int64_t rows = y.shape().rows(), n = y.shape().channels();
  detail::require_size("softmax", "dy", dy, y.numel());
  detail::require_size("softmax", "dx", dx, y.numel());
  dispatch_floating(y.dtype(), "softmax", [&]<typename T>() {
    const T *py = y.data<T>(), *pdy = dy.data<T>();
    T* pdx = dx.mutable_data<T>();
    detail::parallel_rows(rows, (log ? cost : 1) * n, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        softmax_backward_row(py + i * n, pdy + i * n, log, pdx + i * n, n);
      }
    });
  });
}

}  // namespace fer
