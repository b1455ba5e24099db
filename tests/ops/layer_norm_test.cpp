// layer_norm.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

OP_TEST("layer_norm: values") {
  const Variable x = leaf({2, 4}, {1, 2, 3, 6, -4, -4, -4, -4}, device);
  const Variable y = layer_norm(x, leaf({4}, {2, 2, 2, 4}, device), leaf({4}, {5, 5, 5, 7}, device), 0.5);
  // Row 0: mean 3, biased variance 3.5. Row 1 is constant.
  check_values(y.value(), {2, 4}, {3, 4, 5, 13, 5, 5, 5, 7}, 1e-14);
}

OP_TEST("layer_norm: rows are independent") {
  const auto inputs = CaseInputs("layer_norm rows", device)
                          .uniform("x", {5, 33}, -2, 4)
                          .uniform("weight", {33})
                          .uniform("bias", {33})
                          .take();
  check_equivalent([](const auto& v) { return layer_norm(v[0], v[1], v[2], 1e-6); },
                   [](const auto& v) {
                     std::vector<Variable> rows;
                     for (int i = 0; i < 5; ++i)
                       rows.push_back(layer_norm(slice(v[0], 0, i, 1), v[1], v[2], 1e-6));
                     return concat(rows, 0);
                   },
                   inputs);
}

OP_TEST("layer_norm: a single channel gives the bias, and x gets no gradient") {
  for (DType dtype : {DType::float64, DType::float32}) {
    const auto make = [&](const Shape& shape, const std::vector<double>& values) {
      return Variable(Tensor::from(shape, values).to(dtype).to(device), true);
    };
    Variable x = make({3, 1}, {1.1, 5.3, -2.7});
    const Variable y = layer_norm(x, make({1}, {1.3}), make({1}, {7}), 1e-6);
    check_values(y.value(), {3, 1}, {7, 7, 7});
    // Any rounding error would be magnified a thousandfold: 1 / sqrt(eps).
    y.backward(make({3, 1}, {0.7, 2.1, 3.3}).value());
    check_values(x.grad(), {3, 1}, {0, 0, 0});
  }
}

OP_TEST("layer_norm: a large common shift in float32") {
  std::vector<double> values;
  for (int i = 0; i < 48; ++i) values.push_back((i * 29 % 48) / 64.0);
  const Variable one(Tensor::full({48}, 1.0, DType::float32, device)),
      zero(Tensor::zeros({48}, DType::float32, device));
  const auto run = [&](double shift) {
    std::vector<double> shifted = values;
    for (double& value : shifted) value += shift;
    return layer_norm(Variable(Tensor::from({1, 48}, shifted).to(DType::float32).to(device)), one, zero, 1e-6)
        .value();
  };
  // The mean itself is stored in float32, so near 4096 its error is up to 2.4e-4.
  CHECK(difference(run(4096), run(0)) < 2e-3);
}

OP_TEST("layer_norm: errors") {
  const auto zeros = [&](const Shape& shape) {
    return Variable(Tensor::zeros(shape, DType::float64, device));
  };
  CHECK_MESSAGE_OF(layer_norm(zeros({2, 3}), zeros({2}), zeros({3}), 1e-6), ShapeError,
                   "[layer_norm] weight has shape (2), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(layer_norm(zeros({2, 3}), zeros({3}), zeros({3, 1}), 1e-6), ShapeError,
                   "[layer_norm] bias has shape (3, 1), needs (3) for the channels of x (2, 3)");
  CHECK_MESSAGE_OF(layer_norm(zeros({}), zeros({1}), zeros({1}), 1e-6), ShapeError,
                   "[layer_norm] x needs a dimension to normalise, got shape ()");
  CHECK_MESSAGE_OF(layer_norm(zeros({2, 3}), zeros({3}), Variable(), 1e-6), TypeError,
                   "[layer_norm] bias is undefined");
}

}  // namespace
}  // namespace fer::test
