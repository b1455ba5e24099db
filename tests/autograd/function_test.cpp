// User-defined functions.
#include <doctest/doctest.h>

#include "fer/autograd/function.h"
#include "fer/autograd/gradcheck.h"
#include "fer/autograd/ops.h"

namespace fer {
namespace {

Tensor map(const Tensor& x, const std::function<double(double)>& f) {
  std::vector<double> values = x.to_vector<double>();
  for (double& value : values) value = f(value);
  return Tensor::from(x.shape(), values);
}

Tensor product(const Tensor& a, const Tensor& b) {
  return mul(Variable(a), Variable(b)).value();
}

struct Square : Function {
  std::string name() const override { return "square"; }
  Tensor forward(FunctionContext& context, const std::vector<Tensor>& x) override {
    context.save("x", x[0]);
    return product(x[0], x[0]);
  }
  std::vector<Tensor> backward(FunctionContext& context, const Tensor& dy) override {
    return {product(dy, map(context.saved("x"), [](double x) { return 2 * x; }))};
  }
};

/// y = a b. Computes only the gradients that are needed and remembers which.
struct Product : Function {
  std::string computed;
  std::string name() const override { return "product"; }
  Tensor forward(FunctionContext& context, const std::vector<Tensor>& x) override {
    CHECK_FALSE(grad_enabled());
    context.save("a", x[0]);
    context.save("b", x[1]);
    return product(x[0], x[1]);
  }
  std::vector<Tensor> backward(FunctionContext& context, const Tensor& dy) override {
    std::vector<Tensor> gradients(2);
    if (context.needs_gradient(0)) gradients[0] = product(dy, context.saved("b")), computed += "a";
    if (context.needs_gradient(1)) gradients[1] = product(dy, context.saved("a")), computed += "b";
    return gradients;
  }
};

Variable leaf(const std::vector<double>& values, bool requires_grad = true) {
  return Variable(Tensor::from(Shape{static_cast<std::int64_t>(values.size())}, values), requires_grad, "x");
}

TEST_CASE("a user function is differentiated like a built-in one") {
  const GradcheckResult result = gradcheck(
      "square", [](const auto& x) { return sum(fer::apply(std::make_shared<Square>(), {scale(x[0], 3.0)})); },
      {leaf({0.3, -1.2, 2.0})});
  CHECK_MESSAGE(result.ok, result.message);
  Variable x = leaf({2.0});
  const Variable y = apply(std::make_shared<Square>(), {x});
  CHECK(y.node()->name == "square");
  y.backward();
  CHECK(x.grad().item() == 4.0);
}

TEST_CASE("a user function is asked for needed gradients only") {
  for (const auto& [a, b, expected] :
       {std::tuple<bool, bool, std::string>{true, true, "ab"}, {true, false, "a"}, {false, true, "b"}}) {
    auto function = std::make_shared<Product>();
    Variable x = leaf({2.0}, a), z = leaf({5.0}, b);
    apply(function, {x, z}).backward();
    CHECK(function->computed == expected);
    CHECK(x.grad().defined() == a);
    CHECK(z.grad().defined() == b);
  }
}

TEST_CASE("one function object may be applied many times") {
  auto function = std::make_shared<Square>();
  Variable x = leaf({3.0});
  const Variable once = apply(function, {x}), twice = apply(function, {once});
  twice.backward();
  CHECK(x.grad().item() == 4 * 27.0);
}

TEST_CASE("optional inputs arrive undefined") {
  struct FirstOnly : Function {
    std::string name() const override { return "first_only"; }
    Tensor forward(FunctionContext&, const std::vector<Tensor>& x) override {
      CHECK_FALSE(x[1].defined());
      return x[0].clone();
    }
    std::vector<Tensor> backward(FunctionContext& context, const Tensor& dy) override {
      CHECK_FALSE(context.needs_gradient(1));
      return {dy, Tensor()};
    }
  };
  Variable x = leaf({3.0});
  apply(std::make_shared<FirstOnly>(), {x, Variable()}).backward();
  CHECK(x.grad().item() == 1.0);
}

TEST_CASE("saved tensors are guarded") {
  Variable x = leaf({3.0, 4.0});
  const Variable y = apply(std::make_shared<Square>(), {x});
  x.mutable_value().fill(0.0);
  CHECK_THROWS_WITH_AS(
      y.backward(Tensor::zeros({2}, DType::float64)),
      "[square] 'x' of shape (2), saved for backward, was changed in place since (version 1, now 2); "
      "change a clone() instead",
      AutogradError);
}

TEST_CASE("misuse of functions") {
  struct Broken : Function {
    std::string name() const override { return "broken"; }
    Tensor forward(FunctionContext& context, const std::vector<Tensor>& x) override {
      context.save("scale", x[0]);
      context.save("input", x[0]);
      return x[0].clone();
    }
    std::vector<Tensor> backward(FunctionContext& context, const Tensor&) override {
      CHECK_THROWS_WITH_AS(context.needs_gradient(1), "[broken] has 1 inputs, none of index 1",
                           AutogradError);
      return {context.saved("x")};
    }
  };
  struct Nothing : Square {
    Tensor forward(FunctionContext&, const std::vector<Tensor>&) override { return {}; }
  };
  struct TooFew : Product {
    std::vector<Tensor> backward(FunctionContext&, const Tensor& dy) override { return {dy}; }
  };
  Variable x = leaf({3.0});
  CHECK_THROWS_WITH_AS(apply(std::make_shared<Broken>(), {x}).backward(),
                       "[broken] nothing was saved as 'x'; saved: 'input', 'scale'", AutogradError);
  CHECK_THROWS_WITH_AS(apply(std::make_shared<Nothing>(), {x}), "[square] forward gave no tensor",
                       AutogradError);
  CHECK_THROWS_WITH_AS(apply(std::make_shared<TooFew>(), {x, x}).backward(),
                       "[product] backward gave 1 gradients for 2 inputs", AutogradError);
  CHECK_THROWS_WITH_AS(apply(nullptr, {x}), "apply: there is no function", AutogradError);
}

TEST_CASE("nothing is saved if no gradient is needed") {
  Tensor value = Tensor::from<double>({1}, {3.0});
  const Variable y = apply(std::make_shared<Square>(), {Variable(value)});
  CHECK_FALSE(y.requires_grad());
  CHECK(value.sole_owner());
}

}  // namespace
}  // namespace fer
