// PReLU, y = x > 0 ? x : slope[c] * x, with a slope per channel (He et al. 2015).
//   dx = dy * (x > 0 ? 1 : slope[c])        dslope[c] = sum over rows of dy * x where x <= 0
// Backward computes both in one pass. The slope's sums are in double, by chunks of rows.
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
  /// stream: the stores to y, or dx, bypass the cache.
  void (*forward)(const T* x, const T* slope, T* y, std::int64_t rows, std::int64_t channels, bool stream);
  void (*backward_input)(const T* x, const T* slope, const T* dy, T* dx, std::int64_t rows,
                         std::int64_t channels, bool stream);
  /// sums (C) += dslope of these rows. Also writes dx unless it is null. scratch: C.
  void (*backward)(const T* x, const T* slope, const T* dy, T* dx, std::int64_t rows, std::int64_t channels,
                   T* scratch, double* sums, bool stream);
};
}  // namespace fer
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Uses vectors: the compiler turns a plain loop into a branch per element, mispredicted if signs are random.
template <typename T>
void forward(const T* x, const T* slope, T* y, std::int64_t rows, std::int64_t channels, bool stream) {
  with_stores(stream, y, rows, channels, [=](auto streamed) HWY_ATTR {
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* px = x + i * channels;
      T* py = y + i * channels;
      for_vectors<T>(channels, [=](auto d, std::int64_t c) HWY_ATTR {
        const auto v = hn::LoadU(d, px + c);
        const auto scaled = hn::Mul(v, hn::LoadU(d, slope + c));
        store(streamed, hn::IfThenElse(hn::Gt(v, hn::Zero(d)), v, scaled), d, py + c);
      });
    }
  });
}

template <typename D, typename V>
V input_gradient(D d, V x, V slope, V dy) {
  return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), dy, hn::Mul(dy, slope));
}

template <typename T>
void backward_input(const T* x, const T* slope, const T* dy, T* dx, std::int64_t rows, std::int64_t channels,
                    bool stream) {
  with_stores(stream, dx, rows, channels, [=](auto streamed) HWY_ATTR {
    for (std::int64_t i = 0; i < rows; ++i) {
      const T *px = x + i * channels, *pdy = dy + i * channels;
      T* pdx = dx + i * channels;
      for_vectors<T>(channels, [=](auto d, std::int64_t c) HWY_ATTR {
        const auto g =
            input_gradient(d, hn::LoadU(d, px + c), hn::LoadU(d, slope + c), hn::LoadU(d, pdy + c));
        store(streamed, g, d, pdx + c);
      });
    }
  });
}

template <typename T>
void backward(const T* x, const T* slope, const T* dy, T* dx, std::int64_t rows, std::int64_t channels,
              T* scratch, double* sums, bool stream) {
  double* const dslope[] = {sums};
  const auto slope_term = [](auto d, auto v, auto g)
                              HWY_ATTR { return hn::IfThenZeroElse(hn::Gt(v, hn::Zero(d)), hn::Mul(g, v)); };
  if (!dx) {
    add_rows(rows, channels, scratch, dslope, [=](auto d, std::int64_t i, std::int64_t c, auto add) HWY_ATTR {
      const std::int64_t at = i * channels + c;
      add(0, slope_term(d, hn::LoadU(d, x + at), hn::LoadU(d, dy + at)));
    });
    return;
  }
  with_stores(stream, dx, rows, channels, [=, &dslope](auto streamed) HWY_ATTR {
    add_rows(rows, channels, scratch, dslope, [=](auto d, std::int64_t i, std::int64_t c, auto add) HWY_ATTR {
      const std::int64_t at = i * channels + c;
      const auto v = hn::LoadU(d, x + at), g = hn::LoadU(d, dy + at);
      store(streamed, input_gradient(d, v, hn::LoadU(d, slope + c), g), d, dx + at);
      add(0, slope_term(d, v, g));
    });
  });
}

PReluKernels<float> kernels_f32() {
  return {forward<float>, backward_input<float>, backward<float>};
}
PReluKernels<double> kernels_f64() {
  return {forward<double>, backward_input<double>, backward<double>};
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
    const bool stream = detail::stream_stores(y);
    detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
      run(px + begin * channels, pslope, py + begin * channels, end - begin, channels, stream);
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
    const bool stream = dx.defined() && detail::stream_stores(dx);
    if (!dslope.defined()) {
      if (!pdx) return;
      detail::parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
        const std::int64_t at = begin * channels;
        k.backward_input(px + at, pslope, pdy + at, pdx + at, end - begin, channels, stream);
      });
      return;
    }
    const detail::RowChunks chunks(rows, channels);
    std::vector<double> partial(static_cast<std::size_t>(chunks.count * channels), 0.0);
    detail::parallel_chunks(chunks, [&](std::int64_t chunk) {
      const std::int64_t at = chunks.begin(chunk) * channels;
      std::vector<T> scratch(static_cast<std::size_t>(channels));
      k.backward(px + at, pslope, pdy + at, pdx ? pdx + at : nullptr, chunks.length(chunk), channels,
                 scratch.data(), partial.data() + chunk * channels, stream);
    });
    std::vector<double> sums(static_cast<std::size_t>(channels));
    detail::add_chunks(chunks, partial.data(), channels, sums.data());
    std::copy(sums.begin(), sums.end(), dslope.mutable_data<T>());
  });
}

}  // namespace fer
#endif
