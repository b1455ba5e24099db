// relu, gelu, sigmoid.
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

OP_TEST("activations: NaN stays visible") {
  const Variable x(Tensor::full({17}, NAN, DType::float32, device));
  for (const Variable& y : {relu(x), gelu(x), sigmoid(x)}) {
    for (double v : numbers(y.value())) CHECK(std::isnan(v));
  }
}

OP_TEST("activations: errors") {
  const Variable labels(Tensor::zeros({2}, DType::int64, device));
  CHECK_MESSAGE_OF(relu(labels), TypeError, "[relu] x is int64, needs float32 or float64");
  CHECK_MESSAGE_OF(gelu(Variable()), TypeError, "[gelu] x is undefined");
  CHECK_MESSAGE_OF(sigmoid(labels), TypeError, "[sigmoid] x is int64, needs float32 or float64");
}

}  // namespace
}  // namespace fer::test
