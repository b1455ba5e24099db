// prelu.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("prelu: values, and the slope's side at zero") {
  Variable x = leaf({2, 3}, {-2, 3, 0, 4, -5, -6}, device), slope = leaf({3}, {0.5, 0.25, -1}, device);
  const Variable y = prelu(x, slope);
  check_values(y.value(), {2, 3}, {-1, 3, 0, 4, -1.25, 6});
  y.backward(Tensor::from<double>({2, 3}, {1, 10, 100, 2, 20, 200}, device));
  check_values(x.grad(), {2, 3}, {0.5, 10, -100, 2, 5, -200});
  check_values(slope.grad(), {3}, {-2, -100, -1200});
}

OP_TEST("prelu: equals relu(x) - slope relu(-x)") {
  check_equivalent(
      [](const auto& v) { return prelu(v[0], v[1]); },
      [](const auto& v) { return sub(relu(v[0]), mul(v[1], relu(scale(v[0], -1.0)))); },
      CaseInputs("prelu oracle", device).apart("x", {3, 5, 7, 33}).uniform("slope", {33}).take());
}

OP_TEST("prelu: errors") {
  const Variable x = leaf({2, 3}, std::vector<double>(6), device), slope = leaf({2}, {0, 0}, device);
  CHECK_MESSAGE_OF(prelu(x, slope), ShapeError,
                   "[prelu] slope has shape (2), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(prelu(x, Variable()), TypeError, "[prelu] slope is undefined");
  CHECK_MESSAGE_OF(prelu(x, Variable(Tensor::zeros({3}, DType::float32, device))), TypeError,
                   "[prelu] x is float64, but slope is float32");
}

}  // namespace
}  // namespace fer::test
