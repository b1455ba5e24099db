// add, sub, mul, div, scale, broadcast_to.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("elementwise: values under broadcasting") {
  const Variable a = leaf({2, 1}, {1, 2}, device), b = leaf({3}, {10, 20, 40}, device);
  check_values(add(a, b).value(), {2, 3}, {11, 21, 41, 12, 22, 42});
  check_values(sub(a, b).value(), {2, 3}, {-9, -19, -39, -8, -18, -38});
  check_values(mul(a, b).value(), {2, 3}, {10, 20, 40, 20, 40, 80});
  check_values(div(a, b).value(), {2, 3}, {0.1, 0.05, 0.025, 0.2, 0.1, 0.05}, 1e-15);
  check_values((b / a).value(), {2, 3}, {10, 20, 40, 5, 10, 20});
  check_values((a + b - b * a).value(), {2, 3}, {1, 1, 1, -8, -18, -38});
  check_values((-0.5 * b).value(), {3}, {-5, -10, -20});
  check_values(broadcast_to(a, {2, 2, 3}).value(), {2, 2, 3}, {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2});
}

OP_TEST("elementwise: gradients are summed over the broadcast dimensions") {
  Variable a = leaf({2, 1}, {1, 2}, device), b = leaf({3}, {10, 20, 40}, device);
  sum(mul(a, b)).backward();
  check_values(a.grad(), {2, 1}, {70, 70});
  check_values(b.grad(), {3}, {3, 3, 3});
  a.zero_grad();
  b.zero_grad();
  sum(sub(a, b)).backward();
  check_values(a.grad(), {2, 1}, {3, 3});
  check_values(b.grad(), {3}, {-2, -2, -2});
  a.zero_grad();
  b.zero_grad();
  sum(div(a, b)).backward();
  check_values(a.grad(), {2, 1}, {0.175, 0.175});
  check_values(b.grad(), {3}, {-0.03, -0.0075, -0.001875});
}

OP_TEST("div: by zero, and of infinities and NaN") {
  const Variable a = leaf({6}, {1, -1, 0, INFINITY, 2, NAN}, device);
  const Variable b = leaf({6}, {0, 0, 0, 2, INFINITY, 1}, device);
  check_values(div(a, b).value(), {6}, {INFINITY, -INFINITY, NAN, INFINITY, 0, NAN});
}

OP_TEST("elementwise: infinities and NaN pass through") {
  const Variable x = leaf({4}, {INFINITY, -INFINITY, NAN, -0.0}, device);
  check_values(broadcast_to(x, {1, 4}).value().reshape({4}).to(Device::cpu).slice(2, 1), {1}, {NAN});
  CHECK(numbers(broadcast_to(x, {2, 4}).value())[4] == INFINITY);
  CHECK(std::signbit(numbers(broadcast_to(x, {2, 4}).value())[7]));
  CHECK(std::isnan(numbers(add(x, x).value())[2]));
  CHECK(std::isnan(numbers(sub(x, x).value())[0]));
}

OP_TEST("elementwise: errors") {
  const Variable a = leaf({2, 3}, std::vector<double>(6), device),
                 b = leaf({4}, std::vector<double>(4), device);
  const Variable single(Tensor::zeros({2, 3}, DType::float32, device));
  const Variable integer(Tensor::zeros({2, 3}, DType::int64, device));
  CHECK_MESSAGE_OF(add(a, b), ShapeError, "[add] shapes (2, 3) and (4) do not broadcast");
  CHECK_MESSAGE_OF(sub(a, b), ShapeError, "[sub] shapes (2, 3) and (4) do not broadcast");
  CHECK_MESSAGE_OF(mul(a, b), ShapeError, "[mul] shapes (2, 3) and (4) do not broadcast");
  CHECK_MESSAGE_OF(div(a, b), ShapeError, "[div] shapes (2, 3) and (4) do not broadcast");
  CHECK_MESSAGE_OF(mul(a, single), TypeError, "[mul] a is float64, but b is float32");
  CHECK_MESSAGE_OF(mul(a, integer), TypeError, "[mul] b is int64, needs float32 or float64");
  CHECK_MESSAGE_OF(add(a, Variable()), TypeError, "[add] b is undefined");
  CHECK_MESSAGE_OF(scale(integer, 2.0), TypeError, "[scale] x is int64, needs float32 or float64");
  CHECK_MESSAGE_OF(broadcast_to(a, {3, 3}), ShapeError,
                   "[broadcast_to] shapes (2, 3) and (3, 3) do not broadcast");
  CHECK_MESSAGE_OF(broadcast_to(a, {1, 3}), ShapeError,
                   "[broadcast_to] shape (2, 3) does not broadcast to (1, 3)");
  if (device != Device::cpu) {
    const Variable elsewhere(Tensor::zeros({2, 3}, DType::float64));
    CHECK_MESSAGE_OF(add(a, elsewhere), TypeError,
                     concat("[add] a is on ", device, ", but b is on cpu").c_str());
  }
}

OP_TEST("elementwise: errors have the path of the module") {
  ModuleScope outer("attention"), inner("blocks"), block("0");
  const Variable a = leaf({2}, {1, 2}, device), b = leaf({3}, {1, 2, 3}, device);
  CHECK_MESSAGE_OF(add(a, b), ShapeError,
                   "[add] shapes (2) and (3) do not broadcast (in module attention.blocks.0)");
}

}  // namespace
}  // namespace fer::test
