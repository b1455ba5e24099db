// softmax, log_softmax.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("softmax: values") {
  const Variable x = leaf({2, 3}, {0, std::log(2.0), std::log(5.0), 7, 7, 7}, device);
  check_values(softmax(x).value(), {2, 3}, {1.0 / 8, 2.0 / 8, 5.0 / 8, 1.0 / 3, 1.0 / 3, 1.0 / 3}, 1e-15);
  check_values(
      log_softmax(x).value(), {2, 3},
      {-std::log(8.0), std::log(0.25), std::log(0.625), -std::log(3.0), -std::log(3.0), -std::log(3.0)},
      1e-15);
}

OP_TEST("softmax: scores far beyond the range of exp") {
  for (DType dtype : {DType::float32, DType::float64}) {
    const Variable x(Tensor::from<double>({2, 3}, {1e4, 0, -1e4, -1e4, -1e4, -1e4}).to(dtype).to(device));
    check_values(softmax(x).value(), {2, 3}, {1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3}, 1e-6);
    check_values(log_softmax(x).value(), {2, 3},
                 {0, -1e4, -2e4, -std::log(3.0), -std::log(3.0), -std::log(3.0)}, 1e-6);
  }
}

OP_TEST("softmax: a masked score gets no weight") {
  const Variable x = leaf({3}, {0, -INFINITY, 0}, device);
  check_values(softmax(x).value(), {3}, {0.5, 0, 0.5});
}

OP_TEST("softmax: rows of gradients sum to zero") {
  const std::vector<Variable> in = CaseInputs("softmax rows", device).uniform("x", {5, 33}, -3, 3).take();
  Variable x = in[0];
  softmax(x).backward(random_cotangent(x.value()));
  const std::vector<double> rows = numbers(sum_to(Variable(x.grad()), {5, 1}).value());
  for (double row : rows) CHECK(std::abs(row) < 1e-15);
}

OP_TEST("softmax: errors") {
  CHECK_MESSAGE_OF(softmax(leaf({}, {1}, device)), ShapeError,
                   "[softmax] x needs a dimension to sum over, got shape ()");
  CHECK_MESSAGE_OF(log_softmax(Variable()), TypeError, "[log_softmax] x is undefined");
}

}  // namespace
}  // namespace fer::test
