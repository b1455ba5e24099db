// relu, gelu, sigmoid, exp, log, sqrt, abs.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("relu: values, and the gradient at zero is zero") {
  Variable x = leaf({4}, {-2, 0, 3, -0.0}, device);
  const Variable y = relu(x);
  check_values(y.value(), {4}, {0, 0, 3, 0});
  y.backward(Tensor::from<double>({4}, {5, 7, 11, 13}, device));
  check_values(x.grad(), {4}, {0, 0, 11, 0});
}

OP_TEST("gelu: x times the normal distribution function, in the tails too") {
  Variable x = leaf({7}, {-30, -6, -1, 0, 1, 6, 30}, device);
  const Variable y = gelu(x);
  std::vector<double> expected, slope;
  for (double v : numbers(x.value())) {
    const double cdf = 0.5 * std::erfc(-v / std::sqrt(2.0));
    expected.push_back(v * cdf);
    slope.push_back(cdf + v * std::exp(-0.5 * v * v) / std::sqrt(2 * M_PI));
  }
  check_values(y.value(), {7}, expected, 1e-14);
  y.backward(Tensor::full({7}, 1.0, DType::float64, device));
  check_values(x.grad(), {7}, slope, 1e-14);
}

OP_TEST("sigmoid: values, and no overflow far out") {
  Variable x = leaf({5}, {-1000, -1, 0, 1, 1000}, device);
  const Variable y = sigmoid(x);
  const double s = 1 / (1 + std::exp(-1.0));
  check_values(y.value(), {5}, {0, 1 - s, 0.5, s, 1}, 1e-15);
  y.backward(Tensor::full({5}, 1.0, DType::float64, device));
  check_values(x.grad(), {5}, {0, s * (1 - s), 0.25, s * (1 - s), 0}, 1e-15);
}

OP_TEST("exp, log, sqrt, abs: values and slopes") {
  const auto check = [&](Variable (*op)(const Variable&), const std::vector<double>& x,
                         const std::vector<double>& y, const std::vector<double>& slope) {
    const Shape shape{static_cast<std::int64_t>(x.size())};
    Variable in = leaf(shape, x, device);
    const Variable out = op(in);
    for (std::size_t i = 0; i < x.size(); ++i) {  // infinities too, which a tolerance cannot hold
      CAPTURE(i);
      const double got = numbers(out.value())[i];
      CHECK((got == y[i] || std::abs(got - y[i]) <= 1e-15 * std::abs(y[i]) ||
             (std::isnan(got) && std::isnan(y[i]))));
    }
    out.backward(Tensor::full(shape, 2.0, DType::float64, device));
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(i);
      const double got = numbers(in.grad())[i], wanted = 2 * slope[i];
      CHECK((got == wanted || std::abs(got - wanted) <= 1e-14 * std::abs(wanted)));
    }
  };
  const double e = std::exp(1.0), inf = INFINITY;
  check(&fer::exp, {0, 1, -1, -inf, 1000, -1000, inf}, {1, e, 1 / e, 0, inf, 0, inf},
        {1, e, 1 / e, 0, inf, 0, inf});
  check(&fer::log, {1, e, 0.25, inf, 0}, {0, 1, std::log(0.25), inf, -inf}, {1, 1 / e, 4, 0, inf});
  check(&fer::sqrt, {1, 9, 0.25, 0, inf}, {1, 3, 0.5, 0, inf}, {0.5, 1.0 / 6, 1, inf, 0});
  check(&fer::abs, {-3, 0, 2.5, -inf, -0.0}, {3, 0, 2.5, inf, 0}, {-1, 0, 1, -1, 0});
}

OP_TEST("log and sqrt of a negative number are NaN, in float too") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Variable x(Tensor::full({19}, -1.0, dtype, device));
    for (const Variable& y : {log(x), sqrt(x)}) {
      for (double v : numbers(y.value())) CHECK(std::isnan(v));
    }
  }
}

OP_TEST("exp and log undo each other in float32, to its precision") {
  std::vector<double> values;
  for (int i = -300; i <= 300; ++i) values.push_back(static_cast<double>(static_cast<float>(i * 0.29)));
  const Variable x(Tensor::from({601}, values).to(DType::float32).to(device));
  const std::vector<double> y = numbers(exp(x).value()), back = numbers(log(exp(x)).value());
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(values[i]);
    const double exact = std::exp(values[i]);
    CHECK(std::abs(y[i] - exact) <= 4e-7 * exact);
    CHECK(std::abs(back[i] - values[i]) <= 1e-6 * std::max(1.0, std::abs(values[i])));
  }
}

OP_TEST("activations: NaN stays visible") {
  const Variable x(Tensor::full({17}, NAN, DType::float32, device));
  for (const Variable& y : {relu(x), gelu(x), sigmoid(x), exp(x), log(x), sqrt(x), abs(x)}) {
    for (double v : numbers(y.value())) CHECK(std::isnan(v));
  }
}

OP_TEST("activations: errors") {
  const Variable labels(Tensor::zeros({2}, DType::int64, device));
  CHECK_MESSAGE_OF(relu(labels), TypeError, "[relu] x is int64, needs float32 or float64");
  CHECK_MESSAGE_OF(log(labels), TypeError, "[log] x is int64, needs float32 or float64");
  CHECK_MESSAGE_OF(gelu(Variable()), TypeError, "[gelu] x is undefined");
  CHECK_MESSAGE_OF(sigmoid(labels), TypeError, "[sigmoid] x is int64, needs float32 or float64");
}

}  // namespace
}  // namespace fer::test
