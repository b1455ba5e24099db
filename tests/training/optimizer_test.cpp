// Optimizers beyond the golden cases: SAM, clipping, averages, schedules.
#include "fer/training/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "fer/autograd/ops.h"
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
  fer::Sam sam(std::make_unique<fer::Sgd>(std::vector<fer::NamedVariable>{{"w", w}}), rho);
  quartic(w);
  sam.step(lr, [&] { quartic(w); });
  const double g0 = 1, g1 = 8, norm = std::sqrt(g0 * g0 + g1 * g1);
  const double p0 = 1 + rho * g0 / norm, p1 = 2 + rho * g1 / norm;
  CHECK(w.value().to_vector<double>()[0] == doctest::Approx(1 - lr * p0 * p0 * p0).epsilon(1e-12));
  CHECK(w.value().to_vector<double>()[1] == doctest::Approx(2 - lr * p1 * p1 * p1).epsilon(1e-12));
  CHECK_THROWS_WITH_AS(sam.step(lr), "sam: step() needs a function that computes the gradients again",
                       fer::ConfigError);
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
  fer::Adam adam({{"w", w}, {"idle", idle}}, {});
  quartic(w);
  adam.step(0.1);
  CHECK(w.value().item() == doctest::Approx(0.9));
  CHECK(idle.value().item() == 5);
}

TEST_CASE("the moving average follows, and swap undoes itself") {
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
  fer::ScheduleSettings s{"exponential", 1.0, 0.5, 0.01, 0};
  fer::Schedule exponential(s, per_epoch, epochs);
  CHECK(exponential.rate(0) == 1.0);
  CHECK(exponential.rate(9) == 1.0);
  CHECK(exponential.rate(10) == 0.5);
  CHECK(exponential.rate(39) == 0.125);
  s = {"cosine", 1.0, 1.0, 0.0, 1};
  fer::Schedule cosine(s, per_epoch, epochs);
  CHECK(cosine.rate(0) == doctest::Approx(0.1));
  CHECK(cosine.rate(9) == doctest::Approx(1.0));
  CHECK(cosine.rate(25) == doctest::Approx(0.5));
  CHECK(cosine.rate(40) == doctest::Approx(0.0));
  s.kind = "linear";
  CHECK_THROWS_WITH_AS(fer::Schedule(s, 1, 1),
                       "unknown schedule 'linear'; known are constant, exponential, cosine",
                       fer::ConfigError);
}
