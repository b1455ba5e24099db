// Tests of operations. To add one for an op `name`:
//   1. Add cases in src/autograd/gradcheck_cases_*.cpp. They alone check, on every device: gradients against
//      central differences, float32 against float64, each gradient requested alone, saved tensors, threads,
//      and that outputs are written completely (tests/ops/cases_test.cpp, which fails if an op of ops.h has no
//      case).
//   2. Write tests/ops/name_test.cpp: values worked out by hand, the composed form as an oracle if there is
//      one, and the exact messages for wrong shapes. OP_TEST runs its body on every device.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fer/autograd/gradcheck_cases.h"
#include "fer/autograd/ops.h"
#include "tests/ops/test_devices.h"

namespace fer::test {

/// A float64 leaf with the given values.
inline Variable leaf(const Shape& shape, const std::vector<double>& values, Device device,
                     bool requires_grad = true) {
  return Variable(Tensor::from(shape, values, device), requires_grad);
}
inline Tensor labels(const std::vector<std::int64_t>& values, Device device) {
  return Tensor::from(Shape{static_cast<std::int64_t>(values.size())}, values, device);
}

inline std::vector<double> numbers(const Tensor& x) {
  return x.to(Device::cpu).to(DType::float64).to_vector<double>();
}

/// max |a - b| / max(1, max |b|), the measure of the golden files. Infinite if shapes or finiteness differ.
inline double difference(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) return INFINITY;
  const std::vector<double> x = numbers(a), y = numbers(b);
  double worst = 0, scale = 1;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    if (!std::isfinite(x[i]) || !std::isfinite(y[i])) return INFINITY;
    worst = std::max(worst, std::abs(x[i] - y[i]));
    scale = std::max(scale, std::abs(y[i]));
  }
  return worst / scale;
}

/// Checks shape and values.
inline void check_values(const Tensor& x, const Shape& shape, const std::vector<double>& expected,
                         double tolerance = 1e-12) {
  CHECK(x.shape() == shape);
  const std::vector<double> got = numbers(x);
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    if (std::isnan(expected[i])) {
      CHECK(std::isnan(got[i]));
    } else if (std::isinf(expected[i])) {
      CHECK(got[i] == expected[i]);
    } else {
      CHECK(std::abs(got[i] - expected[i]) <= tolerance * std::max(1.0, std::abs(expected[i])));
    }
  }
}

/// An upstream gradient for y with values in [-1, 1).
inline Tensor random_cotangent(const Tensor& y) {
  Random random({7, fnv1a64("op_test.cotangent"), 0});
  std::vector<double> values(static_cast<std::size_t>(y.numel()));
  for (double& value : values) value = random.uniform(-1.0, 1.0);
  return Tensor::from(y.shape(), values).to(y.dtype()).to(y.device());
}

/// Checks that f and its oracle agree on `inputs`, in values and gradients.
inline void check_equivalent(const DifferentiableFunction& f, const DifferentiableFunction& oracle,
                             std::vector<Variable> inputs, double tolerance = 1e-12) {
  const auto run = [&](const DifferentiableFunction& function) {
    for (Variable& input : inputs) input.zero_grad();
    const Variable y = function(inputs);
    y.backward(random_cotangent(y.value()));
    std::vector<Tensor> results = {y.value()};
    for (const Variable& input : inputs) results.push_back(input.grad());
    return results;
  };
  const std::vector<Tensor> got = run(f), expected = run(oracle);
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);  // 0: the value, i: the gradient of input i - 1
    REQUIRE(got[i].defined() == expected[i].defined());
    if (got[i].defined()) CHECK(difference(got[i], expected[i]) <= tolerance);
  }
}

}  // namespace fer::test

/// Checks that `expression` throws exactly `Error` with exactly `message`.
#define CHECK_MESSAGE_OF(expression, Error, message) CHECK_THROWS_WITH_AS((void)(expression), message, Error)
