// The CPU's activations: accuracy of the vectorised float functions against double, extreme values, NaN, odd
// sizes.
#include <limits>

#include "tests/ops/cpu_values.h"

namespace fer {
namespace {

using namespace testing;

double cdf(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}
double density(double x) {
  return std::exp(-0.5 * x * x) / std::sqrt(2 * 3.14159265358979323846);
}

Tensor forward(UnaryOp op, const Tensor& x) {
  Tensor y = poisoned(x.shape(), x.dtype());
  cpu().activation_forward(op, x, y);
  return y;
}

// dy = 1
Tensor derivative(UnaryOp op, const Tensor& x) {
  Tensor y = forward(op, x), dx = poisoned(x.shape(), x.dtype());
  cpu().activation_backward(op, x, y, Tensor::full(x.shape(), 1, x.dtype()), dx);
  return dx;
}

Tensor grid(double low, double high, std::int64_t n) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(low + (high - low) * i / (n - 1));
  return Tensor::from(Shape{n}, x);
}

TEST_CASE("cpu gelu in float is as exact as float allows") {
  const Tensor x = grid(-16, 16, 200001);
  const std::vector<double> vx = doubles<float>(x), y = doubles<float>(forward(UnaryOp::gelu, x));
  const std::vector<double> dx = doubles<float>(derivative(UnaryOp::gelu, x));
  double worst = 0, worst_relative = 0, worst_derivative = 0;
  for (std::size_t i = 0; i < vx.size(); ++i) {
    const double expected = vx[i] * cdf(vx[i]);
    worst = std::max(worst, std::abs(y[i] - expected) / std::max(1.0, std::abs(expected)));
    if (vx[i] > -5)
      worst_relative = std::max(worst_relative, std::abs(y[i] - expected) / std::abs(expected + 1e-30));
    worst_derivative = std::max(worst_derivative, std::abs(dx[i] - (cdf(vx[i]) + vx[i] * density(vx[i]))));
  }
  CHECK(worst < 2e-7);
  CHECK(worst_relative < 2e-6);  // also where gelu is tiny; x^2 / 2 is rounded before its exponential
  CHECK(worst_derivative < 4e-7);
}

TEST_CASE("cpu sigmoid in float is as exact as float allows") {
  const Tensor x = grid(-80, 80, 100003);
  const std::vector<double> vx = doubles<float>(x), y = doubles<float>(forward(UnaryOp::sigmoid, x));
  double worst = 0;
  for (std::size_t i = 0; i < vx.size(); ++i) {
    const double expected = 1 / (1 + std::exp(-vx[i]));
    worst = std::max(worst, std::abs(y[i] - expected) / expected);
  }
  CHECK(worst < 4e-7);
}

TEST_CASE_TEMPLATE("cpu activations: infinities, NaN and very large values", T, float, double) {
  const T inf = std::numeric_limits<T>::infinity();
  const Tensor x = Tensor::from<T>({7}, {-inf, -200, -0.0, 0, 200, inf, std::numeric_limits<T>::quiet_NaN()});
  const std::vector<T> relu = forward(UnaryOp::relu, x).template to_vector<T>();
  CHECK((relu[0] == 0 && relu[1] == 0 && relu[3] == 0 && relu[4] == 200 && relu[5] == inf &&
         relu[6] != relu[6]));
  const std::vector<T> gelu = forward(UnaryOp::gelu, x).template to_vector<T>();
  CHECK((gelu[1] == 0 && gelu[3] == 0 && gelu[4] == 200 && gelu[5] == inf && gelu[6] != gelu[6]));
  const std::vector<T> sigmoid = forward(UnaryOp::sigmoid, x).template to_vector<T>();
  CHECK((sigmoid[0] == 0 && sigmoid[1] < T(1e-37) && sigmoid[3] == T(0.5) && sigmoid[4] == 1 &&
         sigmoid[5] == 1));
  CHECK(sigmoid[6] != sigmoid[6]);
  const std::vector<T> exp = forward(UnaryOp::exp, x).template to_vector<T>();
  CHECK(
      (exp[0] == 0 && exp[1] < T(1e-37) && exp[2] == 1 && exp[3] == 1 && exp[5] == inf && exp[6] != exp[6]));
  CHECK(exp[4] == (std::is_same_v<T, float> ? inf : std::exp(T(200))));
  const std::vector<T> log = forward(UnaryOp::log, x).template to_vector<T>();
  CHECK((log[0] != log[0] && log[1] != log[1] && log[2] == -inf && log[3] == -inf && log[5] == inf &&
         log[6] != log[6]));
  const std::vector<T> sqrt = forward(UnaryOp::sqrt, x).template to_vector<T>();
  CHECK((sqrt[0] != sqrt[0] && sqrt[1] != sqrt[1] && sqrt[3] == 0 && sqrt[5] == inf && sqrt[6] != sqrt[6]));
  const std::vector<T> abs = forward(UnaryOp::abs, x).template to_vector<T>();
  CHECK((abs[0] == inf && abs[1] == 200 && abs[2] == 0 && !std::signbit(abs[2]) && abs[6] != abs[6]));
}

TEST_CASE("cpu log: floats from the least to the greatest, to their precision") {
  std::vector<float> values;
  for (float v = std::numeric_limits<float>::min(); v < 2e38f; v *= 1.37f) values.push_back(v);
  const Tensor x = Tensor::from<float>({static_cast<std::int64_t>(values.size())}, values);
  const std::vector<float> y = forward(UnaryOp::log, x).to_vector<float>();
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double exact = std::log(static_cast<double>(values[i]));
    worst = std::max(worst, std::abs(y[i] - exact) / std::max(1.0, std::abs(exact)));
  }
  CHECK(worst < 3e-7);
}

TEST_CASE_TEMPLATE("cpu relu has slope 0 at 0", T, float, double) {
  const Tensor x = Tensor::from<T>({4}, {-1, 0, -0.0, 2});
  CHECK(derivative(UnaryOp::relu, x).template to_vector<T>() == std::vector<T>{0, 0, 0, 1});
}

TEST_CASE_TEMPLATE("cpu activations: one element's value does not depend on how many there are", T, float,
                   double) {
  for (UnaryOp op : {UnaryOp::relu, UnaryOp::gelu, UnaryOp::sigmoid, UnaryOp::exp, UnaryOp::log,
                     UnaryOp::sqrt, UnaryOp::abs}) {
    Tensor x = random<T>({50001}, "x", 4.0);
    if (op == UnaryOp::log || op == UnaryOp::sqrt) x = forward(UnaryOp::abs, x);  // NaN equals nothing
    const std::vector<T> all = forward(op, x).template to_vector<T>();
    const std::vector<T> all_dx = derivative(op, x).template to_vector<T>();
    for (std::int64_t n : {0, 1, 7, 8, 9, 31, 4097}) {
      CAPTURE(n);
      const Tensor part = x.slice(0, n).clone();
      CHECK(forward(op, part).template to_vector<T>() == std::vector<T>(all.begin(), all.begin() + n));
      CHECK(derivative(op, part).template to_vector<T>() ==
            std::vector<T>(all_dx.begin(), all_dx.begin() + n));
    }
    check_any_threads([&] { return std::vector<Tensor>{forward(op, x), derivative(op, x)}; });
  }
}

}  // namespace
}  // namespace fer
