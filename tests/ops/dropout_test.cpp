// dropout.
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

constexpr RandomKey key{1, fnv1a64("dropout_test"), 2};

OP_TEST("dropout: keeps the elements that the generator chooses, and scales them") {
  const std::int64_t n = 1003;
  for (double p : {0.1, 0.5, 0.75}) {
    Variable x(Tensor::full({n}, 3.0, DType::float64, device), true);
    const Variable y = dropout(x, p, key);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < n; ++i) {
      expected.push_back(unit_float(philox_word(key, i)) >= p ? 3.0 / (1 - p) : 0.0);
    }
    check_values(y.value(), {n}, expected, 1e-15);
    y.backward(Tensor::full({n}, 1.0, DType::float64, device));
    for (double& value : expected) value /= 3.0;
    check_values(x.grad(), {n}, expected, 1e-15);
  }
}

OP_TEST("dropout: by sample, one random number keeps or drops a whole sample") {
  for (const Shape& shape : {Shape{37, 3, 5}, Shape{37}, Shape{37, 1300}}) {
    CAPTURE(shape.str());
    const std::int64_t size = shape.numel() / shape[0];
    std::vector<double> values, expected, gradient;
    for (std::int64_t i = 0; i < shape.numel(); ++i) {
      const bool is_kept = unit_float(philox_word(key, i / size)) >= 0.25;
      values.push_back(0.5 + static_cast<double>(i % 7));
      expected.push_back(is_kept ? values.back() / 0.75 : 0.0);
      gradient.push_back(is_kept ? 1 / 0.75 : 0.0);
    }
    CHECK(std::count(gradient.begin(), gradient.end(), 0.0) > 0);
    Variable x = leaf(shape, values, device);
    const Variable y = dropout(x, 0.25, key, DropoutMask::sample);
    check_values(y.value(), shape, expected, 1e-15);
    y.backward(Tensor::full(shape, 1.0, DType::float64, device));
    check_values(x.grad(), shape, gradient, 1e-15);
  }
}

OP_TEST("dropout: a dropped sample is zero even if it was not finite") {
  const Variable x(Tensor::full({40, 9}, NAN, DType::float32, device));
  const std::vector<double> y = numbers(dropout(x, 0.5, key, DropoutMask::sample).value());
  for (std::int64_t i = 0; i < 360; ++i) {
    CAPTURE(i);
    CHECK((y[static_cast<std::size_t>(i)] == 0.0) == (unit_float(philox_word(key, i / 9)) < 0.5));
  }
}

OP_TEST("dropout: drops about a share p of the elements, and keeps the mean") {
  const Variable x(Tensor::full({100000}, 1.0, DType::float32, device));
  const std::vector<double> y = numbers(dropout(x, 0.3, key).value());
  const auto zeros = static_cast<double>(std::count(y.begin(), y.end(), 0.0));
  CHECK(zeros / 1e5 == doctest::Approx(0.3).epsilon(0.02));
  CHECK(mean(dropout(x, 0.3, key)).item() == doctest::Approx(1.0).epsilon(0.01));
}

OP_TEST("dropout: the mask depends on the key alone") {
  const Variable x(Tensor::full({500}, 1.0, DType::float64, device));
  const Variable single(Tensor::full({500}, 1.0, DType::float32, device));
  const Tensor y = dropout(x, 0.5, key).value();
  CHECK(difference(dropout(x, 0.5, key).value(), y) == 0.0);
  CHECK(difference(dropout(reshape(x, {10, 50}), 0.5, key).value().reshape({500}), y) == 0.0);
  CHECK(difference(dropout(single, 0.5, key).value(), y) == 0.0);
  CHECK(difference(dropout(x, 0.5, {key.seed + 1, key.purpose, key.index}).value(), y) > 0.0);
  CHECK(difference(dropout(x, 0.5, {key.seed, key.purpose + 1, key.index}).value(), y) > 0.0);
  CHECK(difference(dropout(x, 0.5, {key.seed, key.purpose, key.index + 1}).value(), y) > 0.0);
}

OP_TEST("dropout: p = 0 returns x itself; dropped elements are zero even if they were not finite") {
  const Variable x(Tensor::full({64}, INFINITY, DType::float64, device));
  CHECK(dropout(x, 0.0, key).id() == x.id());
  for (double value : numbers(dropout(x, 0.5, key).value())) CHECK((value == 0.0 || value == INFINITY));
}

OP_TEST("dropout: errors") {
  const Variable x = leaf({1}, {1}, device);
  CHECK_MESSAGE_OF(dropout(x, 1.0, key), ConfigError, "[dropout] the probability 1 is outside of [0, 1)");
  CHECK_MESSAGE_OF(dropout(x, -0.1, key), ConfigError, "[dropout] the probability -0.1 is outside of [0, 1)");
  CHECK_MESSAGE_OF(dropout(x, NAN, key), ConfigError, "[dropout] the probability nan is outside of [0, 1)");
  CHECK_MESSAGE_OF(dropout(Variable(), 0.5, key), TypeError, "[dropout] x is undefined");
  CHECK_MESSAGE_OF(dropout(leaf({}, {1}, device), 0.5, key, DropoutMask::sample), ShapeError,
                   "[dropout] x is a single number and has no samples to drop");
  check_values(
      dropout(Variable(Tensor::zeros({0, 3}, DType::float64, device)), 0.5, key, DropoutMask::sample).value(),
      {0, 3}, {});
}

}  // namespace
}  // namespace fer::test
