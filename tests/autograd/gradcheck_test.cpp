// gradcheck accepts correct gradients and catches planted wrong ones.
#include "fer/autograd/gradcheck.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "fer/autograd/function.h"
#include "fer/autograd/gradcheck_cases.h"
#include "fer/autograd/ops.h"

namespace fer {
namespace {

using Gradients = std::vector<Tensor>;

Variable leaf(const Shape& shape, const std::vector<double>& values, const std::string& name) {
  return Variable(Tensor::from(shape, values), true, name);
}

std::vector<Variable> random_inputs(std::initializer_list<std::pair<std::string, Shape>> shapes) {
  CaseInputs inputs("gradcheck_test", Device::cpu);
  for (const auto& [name, shape] : shapes) inputs.uniform(name, shape);
  return inputs.take();
}

Tensor times(const Tensor& a, const Tensor& b) {
  return mul(Variable(a), Variable(b)).value();
}
Tensor product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b) {
  const Variable left(a), right(b);
  return matmul(transpose_a ? transpose(left) : left, transpose_b ? transpose(right) : right).value();
}

/// f with its true value and a planted backward.
DifferentiableFunction planted(
    const DifferentiableFunction& f,
    const std::function<Gradients(const std::vector<Tensor>&, const Tensor&)>& backward) {
  return [=](const std::vector<Variable>& x) {
    std::vector<Tensor> values;
    for (const Variable& v : x) values.push_back(v.value().clone());
    Tensor y;
    {
      NoGrad no_grad;
      y = f(x).value();
    }
    return record("planted", y, x, [=](const Tensor& dy) { return backward(values, dy); });
  };
}

const DifferentiableFunction square = [](const std::vector<Variable>& x) { return mul(x[0], x[0]); };
const DifferentiableFunction matrix_product = [](const std::vector<Variable>& x) {
  return matmul(x[0], x[1]);
};

TEST_CASE("right gradients pass") {
  const GradcheckResult result = gradcheck("square", square, random_inputs({{"x", {3, 4}}}));
  CHECK(result.ok);
  CHECK(result.message.empty());
  CHECK(result.failures.empty());
  CHECK(result.checked == 12);
  CHECK(result.worst < 1e-8);
}

TEST_CASE("caught: a wrong sign, and the message says where") {
  const auto wrong = planted(square, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
    return {scale(Variable(times(dy, x[0])), -2.0).value()};
  });
  const GradcheckResult result = gradcheck("square", wrong, {leaf({1, 2}, {0.0, 3.0}, "x")});
  CHECK_FALSE(result.ok);
  REQUIRE(result.failures.size() == 1);  // the gradient at 0 has no sign
  const GradcheckFailure& failure = result.failures[0];
  CHECK(failure.function == "square");
  CHECK(failure.input == "x");
  CHECK(failure.index == 1);
  CHECK(failure.got == doctest::Approx(-failure.expected));
  CHECK(result.worst ==
        doctest::Approx(2 * std::abs(failure.got) / std::max(1.0, std::abs(failure.expected))));
  std::ostringstream expected;
  expected.precision(10);
  expected << "gradcheck of square failed\n"
              "  1 of 2 elements differ by more than 1e-06, the worst first:\n"
              "  input 'x' of shape (1, 2), index 1 (0, 1): expected "
           << failure.expected << ", got " << failure.got;
  CHECK(result.message == expected.str());
}

TEST_CASE("caught: a missing term") {
  const auto wrong =
      planted([](const std::vector<Variable>& x) { return softmax(x[0]); },
              [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
                return {times(dy, softmax(Variable(x[0])).value())};  // without - y sum_j dy_j y_j
              });
  CHECK_FALSE(gradcheck("softmax", wrong, random_inputs({{"x", {2, 5}}})).ok);
}

TEST_CASE("caught: a constant gradient that a cotangent of ones would let pass") {
  const auto wrong =
      planted([](const std::vector<Variable>& x) { return softmax(x[0]); },
              [](const std::vector<Tensor>& x, const Tensor&) -> Gradients {
                return {Tensor::zeros_like(x[0])};  // that of sum(softmax(x)), which is always 1
              });
  CHECK_FALSE(gradcheck("softmax", wrong, random_inputs({{"x", {2, 5}}})).ok);
}

TEST_CASE("caught: a transposed factor") {
  const auto right = planted(matrix_product, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
    return {product(dy, false, x[1], true), product(x[0], true, dy, false)};
  });
  const auto wrong = planted(matrix_product, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
    return {product(dy, false, x[1], false), product(x[0], true, dy, false)};
  });
  const std::vector<Variable> inputs = random_inputs({{"a", {3, 3}}, {"b", {3, 3}}});
  CHECK(gradcheck("matmul", right, inputs).ok);
  const GradcheckResult result = gradcheck("matmul", wrong, inputs);
  CHECK_FALSE(result.ok);
  for (const GradcheckFailure& failure : result.failures) CHECK(failure.input == "a");
}

TEST_CASE("caught: a missing accumulation") {
  // x x as if only one of its factors were x.
  const auto wrong = planted(
      square, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients { return {times(dy, x[0])}; });
  CHECK_FALSE(gradcheck("square", wrong, random_inputs({{"x", {7}}})).ok);
}

TEST_CASE("caught: a gradient that was not summed over the broadcast dimensions") {
  const auto wrong = planted([](const std::vector<Variable>& x) { return add(x[0], x[1]); },
                             [](const std::vector<Tensor>&, const Tensor& dy) -> Gradients {
                               return {dy, slice(Variable(dy), 0, 0, 1).value().reshape({3})};
                             });
  CHECK_FALSE(gradcheck("bias", wrong, random_inputs({{"x", {4, 3}}, {"bias", {3}}})).ok);
}

TEST_CASE("caught: one wrong element among many") {
  const auto wrong = planted(square, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
    Tensor dx = scale(Variable(times(dy, x[0])), 2.0).value();
    dx.mutable_data<double>()[137] += 1e-4;
    return {dx};
  });
  const GradcheckResult result = gradcheck("square", wrong, random_inputs({{"x", {5, 40}}}));
  REQUIRE(result.failures.size() == 1);
  CHECK(result.failures[0].index == 137);
  CHECK(result.failures[0].got - result.failures[0].expected == doctest::Approx(1e-4).epsilon(1e-3));
  CHECK(result.message.find("index 137 (3, 17)") != std::string::npos);
}

TEST_CASE("caught: a NaN, as the worst of all") {
  const auto wrong = planted(square, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
    Tensor dx = scale(Variable(times(dy, x[0])), 5.0).value();
    dx.mutable_data<double>()[2] = NAN;
    return {dx};
  });
  const GradcheckResult result = gradcheck("square", wrong, random_inputs({{"x", {9}}}));
  CHECK_FALSE(result.ok);
  CHECK(std::isnan(result.worst));
  CHECK(result.failures.front().index == 2);
}

TEST_CASE("caught: a gradient that never comes") {
  const auto wrong = planted(matrix_product, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
    return {product(dy, false, x[1], true), Tensor()};
  });
  const GradcheckResult result = gradcheck("matmul", wrong, random_inputs({{"a", {2, 3}}, {"b", {3, 2}}}));
  CHECK_FALSE(result.ok);
  CHECK(result.message == "gradcheck of matmul failed\n  input 'b': backward left it without a gradient");
  const GradcheckResult detached = gradcheck(
      "detached", [](const auto& x) { return x[0].detach(); }, random_inputs({{"x", {2}}}));
  CHECK(detached.message == "gradcheck of detached failed\n  input 'x': backward left it without a gradient");
}

TEST_CASE("caught: a function that differs from run to run") {
  int runs = 0;
  const GradcheckResult result = gradcheck(
      "noisy",
      [&runs](const auto& x) {
        return dropout(x[0], 0.5, {1, 2, static_cast<std::uint64_t>(runs++)});
      },
      random_inputs({{"x", {50}}}));
  CHECK_FALSE(result.ok);
  CHECK(result.message.find("\n  two runs on the same inputs differ: random parts need a fixed key") !=
        std::string::npos);
}

TEST_CASE("at most ten failures are listed, the worst first") {
  const auto wrong = planted(square, [](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
    return {scale(Variable(times(dy, x[0])), 4.0).value()};
  });
  const GradcheckResult result = gradcheck("square", wrong, random_inputs({{"x", {30}}}));
  CHECK(result.failures.size() == 10);
  CHECK(result.message.find("30 of 30 elements differ by more than 1e-06") != std::string::npos);
  const auto error = [](const GradcheckFailure& f) {
    return std::abs(f.got - f.expected) / std::max(1.0, std::abs(f.expected));
  };
  for (std::size_t i = 1; i < result.failures.size(); ++i) {
    CHECK(error(result.failures[i - 1]) >= error(result.failures[i]));
  }
  CHECK(error(result.failures[0]) == result.worst);
}

TEST_CASE("large inputs are sampled evenly, or checked in full when asked") {
  const std::vector<Variable> inputs = random_inputs({{"x", {1000}}});
  CHECK(gradcheck("square", square, inputs).checked == 200);
  CHECK(gradcheck("square", square, inputs, {.max_elements = 7}).checked == 7);
  CHECK(gradcheck("square", square, inputs, {.max_elements = 0}).checked == 1000);
  // Each tenth of the input is sampled, so a fault in any of them is found.
  for (std::int64_t tenth = 0; tenth < 10; ++tenth) {
    const auto wrong = planted(square, [tenth](const std::vector<Tensor>& x, const Tensor& dy) -> Gradients {
      Tensor dx = scale(Variable(times(dy, x[0])), 2.0).value();
      for (int i = 0; i < 100; ++i) dx.mutable_data<double>()[tenth * 100 + i] += 1.0;
      return {dx};
    });
    const GradcheckResult result = gradcheck("square", wrong, inputs, {.max_elements = 50});
    CHECK(result.message.find("5 of 50 elements") != std::string::npos);
  }
}

TEST_CASE("inputs come back as they were, values and gradients") {
  std::vector<Variable> inputs = random_inputs({{"x", {6}}});
  const std::vector<double> values = inputs[0].value().to_vector<double>();
  const Tensor held = Tensor::full({6}, 42.0, DType::float64);
  inputs[0].mutable_grad() = held;
  CHECK(gradcheck("square", square, inputs).ok);
  CHECK(inputs[0].value().to_vector<double>() == values);
  CHECK(inputs[0].grad().to_vector<double>() == std::vector<double>(6, 42.0));
  int runs = 0;
  const auto throws_later = [&runs](const std::vector<Variable>& x) {
    require<DataError>(++runs < 5, "enough");
    return mul(x[0], x[0]);
  };
  CHECK_THROWS_WITH_AS(gradcheck("throwing", throws_later, inputs), "enough", DataError);
  CHECK(inputs[0].value().to_vector<double>() == values);
  CHECK(inputs[0].grad().to_vector<double>() == std::vector<double>(6, 42.0));
}

TEST_CASE("constants among the inputs are left alone") {
  std::vector<Variable> inputs = random_inputs({{"a", {4}}, {"b", {4}}});
  inputs[1].set_requires_grad(false);
  const GradcheckResult result = gradcheck(
      "mul", [](const auto& x) { return mul(x[0], x[1]); }, inputs);
  CHECK(result.ok);
  CHECK(result.checked == 4);
  CHECK_FALSE(inputs[1].grad().defined());
}

TEST_CASE("it works inside of NoGrad, and unnamed inputs go by their number") {
  NoGrad no_grad;
  const auto wrong =
      planted(square, [](const std::vector<Tensor>&, const Tensor& dy) -> Gradients { return {dy}; });
  CHECK(gradcheck("square", square, {leaf({1}, {0.7}, "")}).ok);
  const GradcheckResult result = gradcheck("square", wrong, {leaf({1}, {0.7}, "")});
  CHECK(result.message.find("input '0' of shape (1), index 0 (0): expected ") != std::string::npos);
}

TEST_CASE("misuse of gradcheck") {
  const Variable floats(Tensor::zeros({2}), true, "x");
  CHECK_THROWS_WITH_AS(gradcheck("square", square, {floats}),
                       "gradcheck of square: input 'x' is float32, needs float64", TypeError);
  Variable x = leaf({2}, {1.0, 2.0}, "x");
  CHECK_THROWS_WITH_AS(gradcheck("square", square, {Variable()}), "gradcheck of square: input 0 is undefined",
                       AutogradError);
  CHECK_THROWS_WITH_AS(gradcheck("square", square, {mul(x, x)}),
                       "gradcheck of square: input '0' is the result of an operation, needs a leaf",
                       AutogradError);
  CHECK_THROWS_WITH_AS(gradcheck("square", square, {x.detach()}),
                       "gradcheck of square: no input requires a gradient", AutogradError);
  CHECK_THROWS_WITH_AS(
      gradcheck("single", [](const auto& v) { return Variable(v[0].value().to(DType::float32)); }, {x}),
      "gradcheck of single: the result is float32, needs float64", TypeError);
}

}  // namespace
}  // namespace fer
