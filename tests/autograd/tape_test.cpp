// The tape: accumulation, freeing, order, and error messages on misuse.
#include <doctest/doctest.h>
#include <pthread.h>

#include <cmath>
#include <string>
#include <thread>

#include "fer/autograd/ops.h"

namespace fer {
namespace {

Variable leaf(const std::vector<double>& values, const std::string& name = {}, bool requires_grad = true) {
  return Variable(Tensor::from(Shape{static_cast<std::int64_t>(values.size())}, values), requires_grad, name);
}

std::vector<double> gradient(const Variable& x) {
  return x.grad().to_vector<double>();
}

using Values = std::vector<double>;

TEST_CASE("the example of the header: mean of squares") {
  Variable w(Tensor::from<double>({3}, {1, 2, 3}), true, "w");
  mean(mul(w, w)).backward();
  const Values g = gradient(w);
  for (int i = 0; i < 3; ++i) CHECK(g[i] == doctest::Approx(2.0 * (i + 1) / 3.0));
}

TEST_CASE("gradients add up over backward calls until zero_grad") {
  Variable x = leaf({3.0});
  for (int call = 1; call <= 3; ++call) {
    sum(mul(x, x)).backward();
    CHECK(gradient(x) == Values{6.0 * call});
  }
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  sum(scale(x, 2.0)).backward();
  CHECK(gradient(x) == Values{2.0});
}

TEST_CASE("accumulation leaves a gradient alone that the caller still holds") {
  Variable x = leaf({1.0, 2.0});
  sum(x).backward();
  const Tensor held = x.grad();
  sum(x).backward();
  CHECK(held.to_vector<double>() == Values{1.0, 1.0});
  CHECK(gradient(x) == Values{2.0, 2.0});
}

TEST_CASE("the caller's cotangent is not written to and not shared") {
  Variable x = leaf({1.0, 2.0}), z = leaf({3.0, 4.0});
  const Tensor cotangent = Tensor::from<double>({2}, {5.0, 7.0});
  add(x, z).backward(cotangent);
  add(x, z).backward(cotangent);
  CHECK(cotangent.to_vector<double>() == Values{5.0, 7.0});
  CHECK(gradient(x) == Values{10.0, 14.0});
  CHECK(gradient(z) == Values{10.0, 14.0});
  CHECK_FALSE(x.grad().shares_memory_with(cotangent));
  CHECK_FALSE(x.grad().shares_memory_with(z.grad()));
}

TEST_CASE("leaves that receive the same gradient do not share it") {
  Variable a = leaf({1.0}), b = leaf({2.0});
  sum(add(a, b)).backward();
  a.mutable_grad().fill(9.0);
  CHECK(gradient(b) == Values{1.0});
}

TEST_CASE("diamond: a value used twice gets the sum of both ways") {
  Variable x = leaf({2.0});
  const Variable square = mul(x, x);
  // d/dx (3 x^2 + x^2 x^2) = 6 x + 4 x^3
  sum(add(scale(square, 3.0), mul(square, square))).backward();
  CHECK(gradient(x) == Values{12.0 + 32.0});
}

TEST_CASE("a ladder of diamonds visits each node once") {
  Variable x = leaf({1.0});
  Variable y = x;
  for (int i = 0; i < 60; ++i) y = add(y, y);  // 2^60 paths
  sum(y).backward();
  CHECK(gradient(x) == Values{std::ldexp(1.0, 60)});
}

TEST_CASE("shared leaves gather from every place they are used in") {
  Variable w = leaf({2.0}), x = leaf({5.0}, "x", false);
  Variable h = x;
  for (int layer = 0; layer < 3; ++layer) h = mul(h, w);  // x w^3
  sum(add(h, w)).backward();
  CHECK(gradient(w) == Values{5.0 * 3 * 4 + 1});
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("a leaf may be differentiated by itself") {
  Variable x = leaf({4.0});
  x.backward();
  x.backward(Tensor::from<double>({1}, {3.0}));
  CHECK(gradient(x) == Values{4.0});
}

/// Runs `body` on a thread whose stack is too small to recurse over a long graph.
void on_small_stack(const std::function<void()>& body) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 512 << 10) == 0);
  pthread_t thread;
  const auto start = [](void* argument) -> void* {
    (*static_cast<const std::function<void()>*>(argument))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, start, const_cast<std::function<void()>*>(&body)) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST_CASE("a chain of 100000 nodes overflows no stack, neither in backward nor when it is dropped") {
  on_small_stack([] {
    Variable x = leaf({1.0});
    {
      Variable y = x;
      for (int i = 0; i < 100000; ++i) y = scale(y, 1.0);
      sum(y).backward();
      CHECK(gradient(x) == Values{1.0});
    }
    {
      Variable never_run = x;
      for (int i = 0; i < 100000; ++i) never_run = mul(never_run, x);
    }
    {
      Variable y = x;
      for (int i = 0; i < 100000; ++i) y = add(y, y);  // two edges to each node
      const Variable other = scale(y, 2.0);            // and two ends of the chain
    }
  });
}

TEST_CASE("backward frees the graph unless it is retained") {
  Variable x = leaf({3.0});
  const Variable y = sum(mul(x, x));
  y.backward({}, /*retain_graph=*/true);
  y.backward();
  CHECK(gradient(x) == Values{12.0});
  CHECK_THROWS_WITH_AS(
      y.backward(),
      "backward: the graph through [sum] was freed by an earlier backward call; pass retain_graph to keep it",
      AutogradError);
}

TEST_CASE("a freed part is named when a second result reaches it") {
  Variable x = leaf({3.0});
  const Variable shared = mul(x, x);
  sum(shared).backward();
  CHECK_THROWS_WITH_AS(
      mean(shared).backward(),
      "backward: the graph through [mul] was freed by an earlier backward call; pass retain_graph to keep it",
      AutogradError);
}

TEST_CASE("backward frees saved values") {
  Variable x = leaf({3.0});
  Tensor factor = Tensor::from<double>({1}, {2.0});
  const Variable y = mul(x, Variable(factor));
  CHECK_FALSE(factor.sole_owner());
  y.backward();
  CHECK(factor.sole_owner());
}

TEST_CASE("values that no gradient needs are not saved") {
  Variable x = leaf({3.0});
  Tensor kept = Tensor::from<double>({1}, {2.0});
  Tensor value = Tensor::from<double>({1}, {5.0});
  const Variable constant(std::move(value));
  const Variable y = mul(x, constant);  // reads the constant, never x
  x.mutable_value().fill(100.0);
  y.backward();
  CHECK(gradient(x) == Values{5.0});
  {
    NoGrad no_grad;
    const Variable z = mul(x, Variable(kept));
    CHECK(kept.sole_owner());
  }
}

TEST_CASE("a value that is cheap to recompute is not kept") {
  Variable x = leaf({3.0});
  int made = 0;
  Tensor twice = Tensor::from<double>({1}, {6.0});
  const Tensor value = twice;
  Variable y;
  {
    const Variable cheap = record(
        "twice", std::move(twice), {x}, [](const Tensor& dy) -> std::vector<Tensor> { return {dy}; },
        [&] {
          ++made;
          return Tensor::from<double>({1}, {6.0});
        });
    CHECK(cheap.value().shares_memory_with(value));
    y = gelu(cheap);  // keeps what it is made of
  }
  CHECK(value.sole_owner());
  CHECK(made == 0);
  y.backward();
  CHECK(made == 1);
}

TEST_CASE("tensors that a recipe reads are guarded like saved ones") {
  Variable x(Tensor::from<double>({1, 1}, {-3.0}), true);
  Variable slope(Tensor::from<double>({1}, {0.5}), true);
  const Variable y = gelu(prelu(x, slope));
  slope.mutable_value().fill(2.0);
  CHECK_THROWS_WITH_AS(
      y.backward(),
      "[prelu] 'slope' of shape (1), saved for backward, was changed in place since (version 1, now 2); "
      "change a clone() instead",
      AutogradError);
}

TEST_CASE("a backward function may add to the pending gradient of its input") {
  Variable x = leaf({3.0});
  for (const bool shared : {false, true}) {
    x.zero_grad();
    const Variable inner = scale(x, 2.0);
    Tensor held;
    bool taken = false;
    const Variable early =
        record("early", inner.value().clone(), {inner}, [&](const Tensor& dy) -> std::vector<Tensor> {
          Tensor sum = take_pending_gradient(0);
          taken = sum.defined();
          if (!taken) return {dy};
          backend_of(sum).accumulate(dy, 1.0, sum);
          return {sum};
        });
    const Variable late =
        record("late", inner.value().clone(), {inner}, [&](const Tensor& dy) -> std::vector<Tensor> {
          Tensor dx = dy.clone();
          if (shared) held = dx;
          return {dx};
        });
    add(scale(early, 5.0), scale(late, 7.0)).backward();
    CHECK(taken != shared);  // memory that somebody else holds is not written to
    CHECK(gradient(x) == Values{24.0});
    if (shared) CHECK(held.item() == 7.0);
  }
  CHECK_THROWS_WITH_AS(take_pending_gradient(0), "take_pending_gradient: no backward function is running",
                       AutogradError);
}

TEST_CASE("NoGrad and EnableGrad nest") {
  Variable x = leaf({3.0});
  CHECK(grad_enabled());
  {
    NoGrad no_grad;
    CHECK_FALSE(grad_enabled());
    CHECK_FALSE(mul(x, x).requires_grad());
    {
      EnableGrad enable;
      CHECK(grad_enabled());
      CHECK(mul(x, x).requires_grad());
    }
    CHECK_FALSE(grad_enabled());
  }
  CHECK(grad_enabled());
  std::thread([] { CHECK(grad_enabled()); }).join();
}

TEST_CASE("backward itself is not recorded") {
  Variable x = leaf({2.0});
  bool recorded = true;
  record("probe", x.value().clone(), {x}, [&recorded](const Tensor& dy) -> std::vector<Tensor> {
    recorded = grad_enabled();
    return {dy};
  }).backward();
  CHECK_FALSE(recorded);
  CHECK(grad_enabled());
}

TEST_CASE("a backward that differentiates inside itself") {
  // Recomputation: backward runs the function again under EnableGrad and differentiates that graph.
  Variable x = leaf({2.0});
  const Tensor saved = x.value();
  const Variable y = record("recomputed", mul(Variable(saved), Variable(saved)).value(), {x},
                            [saved](const Tensor& dy) -> std::vector<Tensor> {
                              EnableGrad enable;
                              Variable inner(saved, true);
                              mul(inner, inner).backward(dy);
                              return {inner.grad()};
                            });
  sum(scale(y, 3.0)).backward();
  CHECK(gradient(x) == Values{12.0});
}

TEST_CASE("detach shares the value and ends the graph") {
  Variable x = leaf({3.0}, "x");
  const Variable y = mul(x, x), cut = y.detach();
  CHECK(cut.value().shares_memory_with(y.value()));
  CHECK_FALSE(cut.requires_grad());
  CHECK(cut.node() == nullptr);
  sum(mul(cut, x)).backward();
  CHECK(gradient(x) == Values{9.0});
}

TEST_CASE("a value saved for backward and then changed is named") {
  Variable x = leaf({3.0}), z = leaf({4.0}, "z", false);
  const Variable y = mul(x, z);
  z.mutable_value().fill(1.0);
  CHECK_THROWS_WITH_AS(
      y.backward(),
      "[mul] 'b' of shape (1), saved for backward, was changed in place since (version 1, now 2); "
      "change a clone() instead",
      AutogradError);
}

TEST_CASE("a change through a view is noticed, and the message has the module's path") {
  Variable x(Tensor::from<double>({2, 2}, {1, 2, 3, 4}), true);
  Variable y;
  {
    ModuleScope outer("head"), inner("fc");
    y = sigmoid(x);
  }
  Tensor row = y.value().slice(1, 1);
  row.fill(0.0);
  CHECK_THROWS_WITH_AS(
      y.backward(Tensor::zeros({2, 2}, DType::float64)),
      "[sigmoid] 'y' of shape (2, 2), saved for backward, was changed in place since (version 1, now "
      "2); change a clone() instead (in module head.fc)",
      AutogradError);
}

TEST_CASE("gradients are summed in the same order at each run") {
  // Sums whose rounding depends on the order: equal bits mean equal order.
  const auto run = [] {
    Variable x = leaf({0.1, 0.7, 1.0 / 3.0});
    Variable total = scale(x, 1e-3);
    for (int i = 1; i < 40; ++i) total = add(total, scale(mul(x, x), std::pow(1.7, i % 13) / 3.0));
    sum(total).backward();
    return gradient(x);
  };
  const Values first = run();
  for (int i = 0; i < 5; ++i) CHECK(run() == first);
}

TEST_CASE("nodes run in the reverse order of recording") {
  Variable x = leaf({1.0});
  std::string order;
  const auto pass = [&order](const std::string& name, const std::vector<Variable>& inputs) {
    return record(name, inputs[0].value().clone(), inputs,
                  [&order, name, n = inputs.size()](const Tensor& dy) {
                    order += name;
                    return std::vector<Tensor>(n, dy);
                  });
  };
  const Variable a = pass("a", {x}), b = pass("b", {a}), c = pass("c", {a}), d = pass("d", {x});
  pass("e", {d, b, c}).backward();
  CHECK(order == "edcba");
  CHECK(gradient(x) == Values{3.0});
}

TEST_CASE("a graph built by two threads is walked in order") {
  Variable x = leaf({2.0});
  Variable base;
  for (int i = 0; i < 50; ++i) base = mul(x, x);  // raises this thread's share of the count
  Variable left, right;
  std::thread([&] { left = scale(base, 3.0); }).join();
  std::thread([&] { right = scale(base, 4.0); }).join();
  sum(add(left, right)).backward();
  CHECK(gradient(x) == Values{28.0});
}

TEST_CASE("misuse of variables") {
  Variable x = leaf({1.0, 2.0}, "x");
  const Variable y = mul(x, x);
  CHECK_THROWS_WITH_AS(
      y.backward(), "backward: a result of shape (2) needs a cotangent; only a scalar has the default of 1",
      AutogradError);
  CHECK_THROWS_WITH_AS(y.backward(Tensor::zeros({3}, DType::float64)),
                       "backward: the cotangent has shape (3), the result (2)", ShapeError);
  CHECK_THROWS_WITH_AS(y.backward(Tensor::zeros({2}, DType::float32)),
                       "backward: the cotangent is float32 on cpu, the result float64 on cpu", TypeError);
  CHECK_THROWS_WITH_AS(leaf({1.0}, "c", false).backward(),
                       "backward: this variable does not depend on anything that requires a gradient",
                       AutogradError);
  CHECK_THROWS_WITH_AS(Variable().backward(), "backward: the variable is undefined", AutogradError);
  CHECK_THROWS_WITH_AS(Variable().value(), "an undefined variable has no value", AutogradError);
  CHECK_THROWS_WITH_AS(Variable().grad(), "an undefined variable has no gradient", AutogradError);
  CHECK_THROWS_WITH_AS(Variable().name(), "an undefined variable has no name", AutogradError);
  Variable result = y;
  CHECK_THROWS_WITH_AS(result.set_requires_grad(false),
                       "only a leaf can change whether it requires a gradient", AutogradError);
  const Tensor integers = Tensor::from<std::int64_t>({1}, {3});
  CHECK_THROWS_WITH_AS(Variable(integers, true, "labels"),
                       "variable 'labels' of int64 cannot require a gradient", AutogradError);
  Variable labels(integers, false, "labels");
  CHECK_THROWS_WITH_AS(labels.set_requires_grad(true), "variable 'labels' of int64 cannot require a gradient",
                       AutogradError);
  CHECK_THROWS_WITH_AS(Variable(Tensor(), true, "w"), "variable 'w' of no value cannot require a gradient",
                       AutogradError);
}

TEST_CASE("a backward function that returns the wrong gradients is named") {
  Variable x = leaf({1.0, 2.0});
  const auto broken = [&](const std::function<std::vector<Tensor>(const Tensor&)>& backward) {
    return record("broken", x.value().clone(), {x}, backward);
  };
  const Tensor cotangent = Tensor::zeros({2}, DType::float64);
  CHECK_THROWS_WITH_AS(broken([](const Tensor&) { return std::vector<Tensor>(2); }).backward(cotangent),
                       "[broken] backward gave 2 gradients for 1 inputs", AutogradError);
  CHECK_THROWS_WITH_AS(broken([](const Tensor&) {
                         return std::vector<Tensor>{Tensor::zeros({3}, DType::float64)};
                       }).backward(cotangent),
                       "[broken] backward gave a gradient of shape (3) for an input of shape (2)",
                       ShapeError);
  CHECK_THROWS_WITH_AS(
      broken([](const Tensor&) { return std::vector<Tensor>{Tensor::zeros({2})}; }).backward(cotangent),
      "[broken] backward gave a gradient of float32 on cpu for an input of float64 on cpu", TypeError);
}

TEST_CASE("a gradient that needs a variable after its graph was freed does not dangle") {
  Variable w = leaf({2.0});
  {
    Variable gone = leaf({5.0});
    Variable y = mul(w, gone);
    gone = Variable();
    y.backward();
  }
  CHECK(gradient(w) == Values{5.0});
}

}  // namespace
}  // namespace fer
