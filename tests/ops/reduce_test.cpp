// sum, mean, sum_to.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("reduce: values") {
  const Variable x = leaf({2, 3}, {1, 2, 3, 10, 20, 30}, device);
  check_values(sum(x).value(), {}, {66});
  check_values(mean(x).value(), {}, {11});
  check_values(sum_to(x, {3}).value(), {3}, {11, 22, 33});
  check_values(sum_to(x, {2, 1}).value(), {2, 1}, {6, 60});
  check_values(sum_to(x, {1, 1}).value(), {1, 1}, {66});
  check_values(sum_to(x, {2, 3}).value(), {2, 3}, {1, 2, 3, 10, 20, 30});
}

OP_TEST("reduce: every element receives the gradient of its sum") {
  Variable x = leaf({2, 3}, {1, 2, 3, 10, 20, 30}, device);
  sum_to(x, {2, 1}).backward(Tensor::from<double>({2, 1}, {5, 7}, device));
  check_values(x.grad(), {2, 3}, {5, 5, 5, 7, 7, 7});
  x.zero_grad();
  mean(x).backward();
  check_values(x.grad(), {2, 3}, std::vector<double>(6, 1.0 / 6));
}

OP_TEST("reduce: a long float32 sum keeps its digits") {
  const std::int64_t n = 1 << 20;
  const Variable x(Tensor::full({n}, 0.1, DType::float32, device));
  CHECK(sum(x).item() == doctest::Approx(0.1 * static_cast<double>(n)).epsilon(1e-6));
  CHECK(mean(x).item() == doctest::Approx(0.1).epsilon(1e-6));
}

OP_TEST("reduce: errors") {
  const Variable x = leaf({2, 3}, std::vector<double>(6), device);
  CHECK_MESSAGE_OF(sum_to(x, {2}), ShapeError, "[sum_to] shapes (2, 3) and (2) do not broadcast");
  CHECK_MESSAGE_OF(sum_to(x, {4, 2, 3}), ShapeError, "[sum_to] shape (2, 3) cannot be summed to (4, 2, 3)");
  CHECK_MESSAGE_OF(mean(leaf({0, 3}, {}, device)), ShapeError, "[mean] x of shape (0, 3) has no elements");
  CHECK_MESSAGE_OF(sum(Variable()), TypeError, "[sum] x is undefined");
}

}  // namespace
}  // namespace fer::test
