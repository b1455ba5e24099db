// PReLU, y = x > 0 ? x : slope[c] * x, with a slope a channel (He et al. 2015).
//   dx = dy * (x > 0 ? 1 : slope[c])        dslope[c] = sum over rows of dy * x where x <= 0
// Backward makes both in one pass; the slope's sums are taken in double, chunk of rows by chunk.
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/prelu.cpp"
#include "cpu/simd.h"

#ifndef FER_CPU_PRELU_KERNELS
#define FER_CPU_PRELU_KERNELS
namespace fer {
template <typename T>
struct PReluKernels {
  void (*forward)(const T* x, const T* slope, T* y, std::int64_t rows, std::int64_t channels);
  void (*backward_input)(const T* x, const T* slope, const T* dy, T* dx, std::int64_t rows,
                         std::int64_t channels);
  /// sums (C) += this chunk's part of dslope.
  void (*backward_slope)(const T* x, const T* dy, std::int64_t rows, std::int64_t channels, double* sums);
};
}  // namespace fer
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// In vectors, as the compiler turns the plain loop into a branch an element, which random signs mispredict.
template <typename T>
void forward(const T* HWY_RESTRICT x, const T* HWY_RESTRICT slope, T* HWY_RESTRICT y, std::int64_t rows,
             std::int64_t channels) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < rows; ++i, x += channels, y += channels) {
    std::int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) {
      const auto v = hn::LoadU(d, x + c);
      const auto scaled = hn::Mul(hn::LoadU(d, slope + c), v);
      hn::StoreU(hn::IfThenElse(hn::Gt(v, hn::Zero(d)), v, scaled), d, y + c);
    }
    for (; c < channels; ++c) {
      const T scaled = slope[c] * x[c];
      y[c] = x[c] > 0 ? x[c] : scaled;
    }
  }
}

template <typename T>
void backward_input(const T* HWY_RESTRICT x, const T* HWY_RESTRICT slope, const T* HWY_RESTRICT dy,
                    T* HWY_RESTRICT dx, std::int64_t rows, std::int64_t channels) {
  for (std::int64_t i = 0; i < rows; ++i, x += channels, dy += channels, dx += channels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const T scaled = slope[c] * dy[c];
      dx[c] = x[c] > 0 ? dy[c] : scaled;
    }
  }
}

// dy * x where x <= 0
template <typename T>
T slope_term(T x, T dy) {
  const T product = dy * x;
  return x > 0 ? T(0) : product;
}

template <typename T>
void backward_slope(const T* HWY_RESTRICT x, const T* HWY_RESTRICT dy, std::int64_t rows,
                    std::int64_t channels, double* HWY_RESTRICT sums) {
  const std::int64_t n = channels;
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4, x += 4 * n, dy += 4 * n) {  // four rows for one load and store of the sums
    for (std::int64_t c = 0; c < n; ++c) {
      sums[c] += (static_cast<double>(slope_term(x[c], dy[c])) +
                  static_cast<double>(slope_term(x[c + n], dy[c + n]))) +
                 (static_cast<double>(slope_term(x[c + 2 * n], dy[c + 2 * n])) +
                  static_cast<double>(slope_term(x[c + 3 * n], dy[c + 3 * n])));
    }
  }
  for (; i < rows; ++i, x += n, dy += n) {
    for (std::int64_t c = 0; c < n; ++c) sums[c] += static_cast<double>(slope_term(x[c], dy[c]));
  }
}

PReluKernels<float> kernels_f32() {
  return {forward<float>, backward_input<float>, backward_slope<float>};
}
PReluKernels<double> kernels_f64() {
  return {forward<double>, backward_input<double>, backward_slope<double>};
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer {
FER_SIMD_EXPORT(PReluKernels)

void CpuBackend::prelu_forward(const Tensor& x, const Tensor& slope, Tensor& y) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("prelu", "slope", slope, channels);
  detail::require_size("prelu", "y", y, x.numel());
  dispatch_floating(x.dtype(), "prelu", [&]<typename T>() {
    const T *px = x.data<T>(), *pslope = slope.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = kernels<T>().forward;
    detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
      run(px + begin * channels, pslope, py + begin * channels, end - begin, channels);
    });
  });
}

void CpuBackend::prelu_backward(const Tensor& x, const Tensor& slope, const Tensor& dy, Tensor& dx,
                                Tensor& dslope) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().channels();
  detail::require_size("prelu", "slope", slope, channels);
  detail::require_size("prelu", "dy", dy, x.numel());
  if (dx.defined()) detail::require_size("prelu", "dx", dx, x.numel());
  if (dslope.defined()) detail::require_size("prelu", "dslope", dslope, channels);
  dispatch_floating(x.dtype(), "prelu", [&]<typename T>() {
    const T *px = x.data<T>(), *pslope = slope.data<T>(), *pdy = dy.data<T>();
    T* pdx = dx.defined() ? dx.mutable_data<T>() : nullptr;
    const auto k = kernels<T>();
    const detail::RowChunks chunks(rows, channels);
    std::vector<double> partial(dslope.defined() ? static_cast<std::size_t>(chunks.count * channels) : 0,
                                0.0);
    detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
      const std::int64_t length = chunks.length(chunk), at = chunks.begin(chunk) * channels;
      if (dslope.defined()) {
        k.backward_slope(px + at, pdy + at, length, channels, partial.data() + chunk * channels);
      }
      if (pdx) k.backward_input(px + at, pslope, pdy + at, pdx + at, length, channels);
    });
    if (!dslope.defined()) return;
    std::vector<double> sums(static_cast<std::size_t>(channels));
    detail::add_chunks(chunks, partial.data(), channels, sums.data());
    std::copy(sums.begin(), sums.end(), dslope.mutable_data<T>());
  });
}

}  // namespace fer
#endif
