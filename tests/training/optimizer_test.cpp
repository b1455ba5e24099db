// Optimizers beyond the golden cases: SAM, clipping, averages, schedules.
#include "fer/training/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "fer/autograd/ops.h"
#include "fer/layers/dropout.h"
#include "fer/tensor/random.h"
#include "fer/training/schedule.h"

namespace {

using fer::Tensor;
using fer::Variable;

Variable parameter(const std::vector<double>& values) {
  return Variable(Tensor::from<double>({static_cast<std::int64_t>(values.size())}, values), true, "w");
}

/// sum(w^4) / 4, whose gradient is w^3.
void quartic(const Variable& w) {
  const Variable square = fer::mul(w, w);
  fer::scale(fer::sum(fer::mul(square, square)), 0.25).backward();
}

}  // namespace

TEST_CASE("SAM steps with the gradient at w + rho g / |g|, from w") {
  Variable w = parameter({1, 2});
  const double rho = 0.05, lr = 0.01;
  fer::Sgd sgd({w}, {.lr = lr});
  fer::Sam sam({w}, rho);
  quartic(w);
  sam.ascend();
  sgd.zero_grad();
  quartic(w);
  sam.restore();
  CHECK(w.value().to_vector<double>() == std::vector<double>{1, 2});
  sgd.step();
  const double g0 = 1, g1 = 8, norm = std::sqrt(g0 * g0 + g1 * g1);
  const double p0 = 1 + rho * g0 / norm, p1 = 2 + rho * g1 / norm;
  CHECK(w.value().to_vector<double>()[0] == doctest::Approx(1 - lr * p0 * p0 * p0).epsilon(1e-12));
  CHECK(w.value().to_vector<double>()[1] == doctest::Approx(2 - lr * p1 * p1 * p1).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(sam.restore(), "sam: restore() was called without ascend()", fer::ConfigError);
  sam.ascend();
  CHECK_THROWS_WITH_AS(sam.ascend(), "sam: ascend() was called twice without restore()", fer::ConfigError);
  CHECK_THROWS_WITH_AS(fer::Sam({w}, 0), "sam: rho must be positive, got 0", fer::ConfigError);
}

TEST_CASE("clipping scales all gradients to the norm, and leaves small ones alone") {
  Variable a = parameter({1}), b = parameter({2});
  quartic(a);
  quartic(b);
  const std::vector<fer::NamedVariable> both{{"a", a}, {"b", b}};
  const double norm = std::sqrt(1.0 + 64.0);
  CHECK(fer::clip_gradients(both, 100) == doctest::Approx(norm));
  CHECK(b.grad().item() == 8);
  CHECK(fer::clip_gradients(both, 1) == doctest::Approx(norm));
  CHECK(a.grad().item() == doctest::Approx(1 / norm));
  CHECK(fer::gradient_norm(both) == doctest::Approx(1));
}

TEST_CASE("a parameter without a gradient is left alone by Adam") {
  Variable w = parameter({1}), idle = parameter({5});
  fer::Adam adam({w, idle}, {.lr = 0.1});
  quartic(w);
  adam.step();
  CHECK(w.value().item() == doctest::Approx(0.9));
  CHECK(idle.value().item() == 5);
}

TEST_CASE("an optimizer counts its steps, takes another rate, and names its state by its parameters") {
  Variable w(Tensor::from<double>({1}, {1}), true, "layer.weight");
  fer::Sgd sgd({w}, {.lr = 0.5, .momentum = 0.9});
  CHECK(sgd.state().at(0).first == "sgd.momentum/layer.weight");
  CHECK(sgd.steps() == 0);
  for (const double expected : {0.5, 0.5 - 0.1 * (0.9 * 1 + 0.125)}) {
    sgd.zero_grad();
    quartic(w);
    sgd.step();
    sgd.set_lr(0.1);
    CHECK(w.value().item() == doctest::Approx(expected).epsilon(1e-12));
  }
  CHECK(sgd.steps() == 2);
  CHECK(sgd.lr() == 0.1);
  sgd.set_steps(7);
  CHECK(sgd.steps() == 7);
}

TEST_CASE("dropout draws another mask with each call, and a resumed count of steps repeats them") {
  fer::Dropout drop(0.5);
  Variable w = parameter({1});
  fer::Sgd sgd({w}, {.lr = 0.1});
  const Variable x(Tensor::full({64}, 1.0));
  const auto mask = [&] { return drop(x).value().to_vector<float>(); };
  fer::manual_seed(4);
  std::vector<std::vector<float>> masks;
  for (int step = 0; step < 3; ++step) {
    masks.push_back(mask());
    masks.push_back(mask());
    sgd.step();
  }
  for (std::size_t i = 0; i < masks.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) CHECK(masks[i] != masks[j]);
  }
  sgd.set_steps(2);
  CHECK(mask() == masks[4]);
  CHECK(mask() == masks[5]);
}

TEST_CASE("the moving average follows the parameters, and a second swap undoes the first") {
  Variable w = parameter({1});
  fer::MovingAverage average({{"w", w}}, 0.75);
  w.mutable_value().fill(5);
  average.update();
  average.swap();
  CHECK(w.value().item() == doctest::Approx(0.75 * 1 + 0.25 * 5));
  average.swap();
  CHECK(w.value().item() == 5);
}

TEST_CASE("an optimizer without parameters is an error") {
  Variable fixed(Tensor::zeros({1}), false, "fixed");
  CHECK_THROWS_AS(fer::Adam({{"fixed", fixed}}), fer::ConfigError);
}

TEST_CASE("schedules") {
  const std::int64_t per_epoch = 10, epochs = 4;
  fer::ScheduleOptions s{fer::ScheduleKind::exponential, 1.0, 0.5, 0.01, 0};
  fer::Schedule exponential(s, per_epoch, epochs);
  CHECK(exponential.rate(0) == 1.0);
  CHECK(exponential.rate(9) == 1.0);
  CHECK(exponential.rate(10) == 0.5);
  CHECK(exponential.rate(39) == 0.125);
  s = {fer::ScheduleKind::cosine, 1.0, 1.0, 0.0, 1};
  fer::Schedule cosine(s, per_epoch, epochs);
  CHECK(cosine.rate(0) == doctest::Approx(0.1));
  CHECK(cosine.rate(9) == doctest::Approx(1.0));
  CHECK(cosine.rate(25) == doctest::Approx(0.5));
  CHECK(cosine.rate(40) == doctest::Approx(0.0));
  s.gamma = 2;
  CHECK_THROWS_WITH_AS(fer::Schedule(s, 1, 1), "gamma must be in (0, 1], got 2", fer::ConfigError);
}
