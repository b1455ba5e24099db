// See batch_norm_kernels.h.
#include "cpu/batch_norm_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/batch_norm_kernels.cpp"
#include "cpu/simd.h"

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

template <>
BatchNormKernels<float> batch_norm_kernels<float>() {
  return kernels<float>();
}
template <>
BatchNormKernels<double> batch_norm_kernels<double>() {
  return kernels<double>();
}

}  // namespace fer
#endif
