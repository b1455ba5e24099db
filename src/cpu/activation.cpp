// Functions of one number: the activations relu, exact gelu and sigmoid, and exp, log, sqrt and abs.
//   relu     y = max(x, 0)              dx = dy where x > 0
//   gelu     y = x Phi(x)               dx = dy (Phi(x) + x phi(x))
//   sigmoid  y = 1 / (1 + exp(-x))      dx = dy y (1 - y)
//   exp                                 dx = dy y
//   log                                 dx = dy / x
//   sqrt                                dx = dy / (2 y)
//   abs                                 dx = dy sign(x)
// Phi is the normal distribution and phi its density. In float, Phi comes from one exponential and one
// rational function: Phi(-|x|) = exp(-x^2/2) G(|x|). G (Mills' ratio over sqrt(2 pi)) is smooth and computed
// without cancellation, so the tails have a small relative error too. Its coefficients are a minimax fit over
// [0, 14.5], beyond which the exponential is zero. The relative error is 6e-9, or 3e-7 with rounding. Double
// uses std::erfc.
#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/activation.cpp"
#include "cpu/simd.h"
#include "hwy/contrib/math/math-inl.h"

#ifndef FER_CPU_ACTIVATION_KERNELS
#define FER_CPU_ACTIVATION_KERNELS
namespace fer {
template <typename T>
struct ActivationKernels {
  void (*forward)(UnaryOp op, const T* x, T* y, std::int64_t n);
  void (*backward)(UnaryOp op, const T* x, const T* y, const T* dy, T* dx, std::int64_t n);
};
}  // namespace fer
#endif

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {
using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

// out[i] = f(a[i], b[i]) by vectors. The remainder at the end goes through a padded vector.
template <typename F>
HWY_INLINE void map_vectors(const float* a, const float* b, float* out, std::int64_t n, const F& f) {
  const Floats d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  if (i == n) return;
  float rest_a[hn::MaxLanes(Floats())] = {}, rest_b[hn::MaxLanes(Floats())] = {};
  std::copy(a + i, a + n, rest_a);
  std::copy(b + i, b + n, rest_b);
  hn::StoreU(f(hn::LoadU(d, rest_a), hn::LoadU(d, rest_b)), d, rest_a);
  std::copy(rest_a, rest_a + (n - i), out + i);
}

struct NormalAt {
  Vector cdf;
  Vector gauss;  // exp(-x^2 / 2)
};

HWY_INLINE NormalAt normal_at(Vector x) {
  const Floats d;
  const auto c = [d](float value) HWY_ATTR { return hn::Set(d, value); };
  const Vector a = hn::Min(hn::Abs(x), c(14.5f));
  const Vector gauss = hn::Exp(d, hn::Mul(hn::Mul(a, a), c(-0.5f)));
  Vector p = hn::MulAdd(a, c(0.00411627768f), c(0.0406330265f));
  p = hn::MulAdd(a, p, c(0.183234558f));
  p = hn::MulAdd(a, p, c(0.438294202f));
  p = hn::MulAdd(a, p, c(0.5f));
  Vector q = hn::MulAdd(a, c(0.0103178583f), c(0.10185834f));
  q = hn::MulAdd(a, q, c(0.4694691f));
  q = hn::MulAdd(a, q, c(1.20250082f));
  q = hn::MulAdd(a, q, c(1.6744734f));
  q = hn::MulAdd(a, q, c(1.0f));
  const Vector tail = hn::Mul(gauss, hn::Div(p, q));  // Phi(-|x|)
  return {hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(c(1.0f), tail)), gauss};
}

constexpr double inverse_sqrt_2 = 0.70710678118654752440, inverse_sqrt_2_pi = 0.39894228040143267794;

void gelu_forward(const float* x, float* y, std::int64_t n) {
  map_vectors(x, x, y, n, [](Vector v, Vector) HWY_ATTR { return hn::Mul(v, normal_at(v).cdf); });
}

void gelu_forward(const double* x, double* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = x[i] * 0.5 * std::erfc(-x[i] * inverse_sqrt_2);
}

void gelu_backward(const float* x, const float* dy, float* dx, std::int64_t n) {
  map_vectors(x, dy, dx, n, [](Vector v, Vector g) HWY_ATTR {
    const NormalAt normal = normal_at(v);
    const Vector density = hn::Mul(normal.gauss, hn::Set(Floats(), static_cast<float>(inverse_sqrt_2_pi)));
    return hn::Mul(g, hn::MulAdd(v, density, normal.cdf));
  });
}

void gelu_backward(const double* x, const double* dy, double* dx, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double cdf = 0.5 * std::erfc(-x[i] * inverse_sqrt_2);
    dx[i] = dy[i] * (cdf + x[i] * std::exp(-0.5 * x[i] * x[i]) * inverse_sqrt_2_pi);
  }
}

/// e^x. hn::Exp is defined up to 104, where the result is already infinite. It does not propagate NaN.
HWY_INLINE Vector exponential(Vector x) {
  const Floats d;
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(d, hn::Min(x, hn::Set(d, 104.0f))));
}

void sigmoid_forward(const float* x, float* y, std::int64_t n) {
  map_vectors(x, x, y, n, [](Vector v, Vector) HWY_ATTR {
    const Vector one = hn::Set(Floats(), 1.0f);
    return hn::Div(one, hn::Add(one, exponential(hn::Neg(v))));
  });
}

void sigmoid_forward(const double* x, double* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = 1.0 / (1.0 + std::exp(-x[i]));
}

void exp_forward(const float* x, float* y, std::int64_t n) {
  map_vectors(x, x, y, n, [](Vector v, Vector) HWY_ATTR { return exponential(v); });
}

void exp_forward(const double* x, double* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = std::exp(x[i]);
}

void log_forward(const float* x, float* y, std::int64_t n) {
  map_vectors(x, x, y, n, [](Vector v, Vector) HWY_ATTR {
    const Floats d;  // hn::Log is defined for positive finite numbers
    const Vector zero = hn::Zero(d), inf = hn::Inf(d);
    Vector log = hn::IfThenElse(hn::Eq(v, inf), inf, hn::Log(d, v));
    log = hn::IfThenElse(hn::Eq(v, zero), hn::Neg(inf), log);
    return hn::IfThenElse(hn::Ge(v, zero), log, hn::NaN(d));
  });
}

void log_forward(const double* x, double* y, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = std::log(x[i]);
}

template <typename T>
void forward(UnaryOp op, const T* HWY_RESTRICT x, T* HWY_RESTRICT y, std::int64_t n) {
  switch (op) {
    case UnaryOp::relu:
      return for_vectors<T>(n, [=](auto d, std::int64_t i) HWY_ATTR {
        const auto v = hn::LoadU(d, x + i);
        hn::StoreU(hn::IfThenZeroElse(hn::Lt(v, hn::Zero(d)), v), d, y + i);  // NaN stays NaN
      });
    case UnaryOp::gelu:
      return gelu_forward(x, y, n);
    case UnaryOp::sigmoid:
      return sigmoid_forward(x, y, n);
    case UnaryOp::exp:
      return exp_forward(x, y, n);
    case UnaryOp::log:
      return log_forward(x, y, n);
    case UnaryOp::sqrt:
      return for_vectors<T>(
          n, [=](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(hn::Sqrt(hn::LoadU(d, x + i)), d, y + i); });
    case UnaryOp::abs:
      return for_vectors<T>(
          n, [=](auto d, std::int64_t i) HWY_ATTR { hn::StoreU(hn::Abs(hn::LoadU(d, x + i)), d, y + i); });
  }
}

// dx may be dy.
template <typename T>
void backward(UnaryOp op, const T* x, const T* y, const T* dy, T* dx, std::int64_t n) {
  switch (op) {
    case UnaryOp::relu:
      return for_vectors<T>(n, [=](auto d, std::int64_t i) HWY_ATTR {
        const auto flat = hn::Le(hn::LoadU(d, x + i), hn::Zero(d));
        hn::StoreU(hn::IfThenZeroElse(flat, hn::LoadU(d, dy + i)), d, dx + i);
      });
    case UnaryOp::gelu:
      return gelu_backward(x, dy, dx, n);
    case UnaryOp::sigmoid:
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i] * y[i] * (1 - y[i]);
      return;
    case UnaryOp::exp:
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i] * y[i];
      return;
    case UnaryOp::log:
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i] / x[i];
      return;
    case UnaryOp::sqrt:
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i] / (2 * y[i]);
      return;
    case UnaryOp::abs:
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) dx[i] = x[i] > 0 ? dy[i] : x[i] < 0 ? -dy[i] : x[i];  // 0 or NaN
      return;
  }
}

ActivationKernels<float> kernels_f32() {
  return {forward<float>, backward<float>};
}
ActivationKernels<double> kernels_f64() {
  return {forward<double>, backward<double>};
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer {
FER_SIMD_EXPORT(ActivationKernels)

void CpuBackend::activation_forward(UnaryOp op, const Tensor& x, Tensor& y) {
  detail::require_size("activation", "y", y, x.numel());
  dispatch_floating(x.dtype(), "activation", [&]<typename T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    const auto run = kernels<T>().forward;
    detail::parallel_for(x.numel(), detail::kBlock / 4, [&](std::int64_t begin, std::int64_t end) {
      run(op, px + begin, py + begin, end - begin);
    });
  });
}

void CpuBackend::activation_backward(UnaryOp op, const Tensor& x, const Tensor& y, const Tensor& dy,
                                     Tensor& dx) {
  detail::require_size("activation", "dx", dx, dy.numel());
  detail::require_size("activation", "x", x, dy.numel());
  detail::require_size("activation", "y", y, dy.numel());
  dispatch_floating(dy.dtype(), "activation", [&]<typename T>() {
    const T *px = x.data<T>(), *py = y.data<T>(), *pdy = dy.data<T>();
    T* pdx = dx.mutable_data<T>();
    const auto run = kernels<T>().backward;
    detail::parallel_for(dy.numel(), detail::kBlock / 4, [&](std::int64_t begin, std::int64_t end) {
      run(op, px + begin, py + begin, pdy + begin, pdx + begin, end - begin);
    });
  });
}

}  // namespace fer
#endif
