// linear.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("linear: values") {
  const Variable x = leaf({1, 2}, {2, 3}, device), weight = leaf({3, 2}, {1, 0, 0, 1, 10, 100}, device);
  check_values(linear(x, weight).value(), {1, 3}, {2, 3, 320});
  check_values(linear(x, weight, leaf({3}, {5, 6, 7}, device)).value(), {1, 3}, {7, 9, 327});
  check_values(linear(leaf({2}, {2, 3}, device), weight).value(), {3}, {2, 3, 320});
}

OP_TEST("linear: equals matmul with the transposed weight, plus the bias") {
  for (std::int64_t rows : {1, 5, 33}) {
    check_equivalent([](const auto& v) { return linear(v[0], v[1], v[2]); },
                     [](const auto& v) { return add(matmul(v[0], transpose(v[1])), v[2]); },
                     CaseInputs("linear oracle", device)
                         .uniform("x", {rows, 17})
                         .uniform("weight", {7, 17})
                         .uniform("bias", {7})
                         .take());
  }
}

OP_TEST("linear: a residual is added, and its gradient is that of the sum") {
  for (std::int64_t rows : {1, 33, 260}) {
    check_equivalent([](const auto& v) { return linear(v[0], v[1], v[2], v[3]); },
                     [](const auto& v) { return add(linear(v[0], v[1], v[2]), v[3]); },
                     CaseInputs("linear residual", device)
                         .uniform("x", {rows, 17})
                         .uniform("weight", {7, 17})
                         .uniform("bias", {7})
                         .uniform("residual", {rows, 7})
                         .take());
  }
}

OP_TEST("linear_gelu: equals gelu of linear, also if the inner extent is split into parts") {
  for (std::int64_t inputs : {1, 17, 300}) {
    check_equivalent([](const auto& v) { return linear_gelu(v[0], v[1], v[2]); },
                     [](const auto& v) { return gelu(linear(v[0], v[1], v[2])); },
                     CaseInputs("linear gelu", device)
                         .uniform("x", {5, inputs})
                         .uniform("weight", {33, inputs})
                         .uniform("bias", {33})
                         .take());
  }
}

OP_TEST("linear_gelu: values worked out by hand, without gradients") {
  const Variable x = leaf({2, 2}, {1, -2, 0, 3}, device, false), weight = leaf({1, 2}, {1, 1}, device, false);
  const Variable y = linear_gelu(x, weight);
  CHECK_FALSE(y.requires_grad());
  check_values(y.value(), {2, 1}, {-0.15865525393145707, 2.99595030590511});
}

OP_TEST("linear: a trained bias over a frozen weight") {
  const Variable x = leaf({2, 1}, {1, 2}, device, false), weight = leaf({2, 1}, {3, 4}, device, false);
  Variable bias = leaf({2}, {0, 0}, device);
  linear(x, weight, bias).backward(Tensor::from<double>({2, 2}, {1, 2, 10, 20}, device));
  check_values(bias.grad(), {2}, {11, 22});
}

OP_TEST("linear: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  CHECK_MESSAGE_OF(linear(zeros({2, 3}), zeros({4, 5})), ShapeError,
                   "[linear] x of shape (2, 3) has 3 columns, weight of shape (4, 5) takes 5");
  CHECK_MESSAGE_OF(linear(zeros({2, 3}), zeros({4, 3, 1})), ShapeError,
                   "[linear] weight needs 2 dimensions, O x I, got shape (4, 3, 1)");
  CHECK_MESSAGE_OF(linear(zeros({2, 3}), zeros({4, 3}), zeros({3})), ShapeError,
                   "[linear] bias has shape (3), needs (4) for the rows of weight (4, 3)");
  CHECK_MESSAGE_OF(linear(zeros({2, 3}), zeros({4, 3}), Variable(Tensor::zeros({4}, DType::float32, device))),
                   TypeError, "[linear] x is float64, but bias is float32");
  CHECK_MESSAGE_OF(linear(zeros({2, 3}), zeros({4, 3}), Variable(), zeros({2, 3})), ShapeError,
                   "[linear] residual has shape (2, 3), needs (2, 4) for x (2, 3) and weight (4, 3)");
  CHECK_MESSAGE_OF(linear_gelu(zeros({2, 3}), zeros({4, 5})), ShapeError,
                   "[linear_gelu] x of shape (2, 3) has 3 columns, weight of shape (4, 5) takes 5");
  CHECK_MESSAGE_OF(linear(Variable(), zeros({4, 3})), TypeError, "[linear] x is undefined");
}

}  // namespace
}  // namespace fer::test
