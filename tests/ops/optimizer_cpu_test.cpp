// The CPU's optimizers against their formulas, evaluated element by element in double, over several steps and
// many parameters at once.
#include <limits>

#include "cpu_values.h"

namespace fer::testing {
namespace {

// Lengths around a vector and around the chunks of threads.
const std::int64_t kLengths[] = {1, 0, 3, 7, 8, 17, 16384, 16385, 40000};

template <typename T>
std::vector<AdamSlot> adam_slots() {
  std::vector<AdamSlot> slots;
  for (std::int64_t n : kLengths) {
    slots.push_back({random<T>({n}, "param"), random<T>({n}, "grad"), Tensor::zeros({n}, dtype_of<T>()),
                     Tensor::zeros({n}, dtype_of<T>())});
  }
  return slots;
}

struct Moments {
  double p, m = 0, v = 0;

  void step(double g, const AdamOptions& o, std::int64_t count) {
    if (o.decoupled) {
      p *= 1 - o.lr * o.weight_decay;
    } else {
      g += o.weight_decay * p;
    }
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double t = static_cast<double>(count);
    const double denominator = std::sqrt(v) / std::sqrt(1 - std::pow(o.beta2, t)) + o.eps;
    p -= o.lr / (1 - std::pow(o.beta1, t)) * m / denominator;
  }
};

}  // namespace

TEST_CASE_TEMPLATE("cpu adam: PyTorch's formula over steps, Adam and AdamW", T, float, double) {
  for (bool decoupled : {false, true}) {
    for (double decay : {0.0, 0.1}) {
      CAPTURE(decoupled);
      CAPTURE(decay);
      std::vector<AdamSlot> slots = adam_slots<T>();
      std::vector<std::vector<Moments>> expected;
      for (const AdamSlot& s : slots) {
        expected.emplace_back();
        for (double p : doubles<T>(s.param)) expected.back().push_back({p});
      }
      for (std::int64_t step = 1; step <= 4; ++step) {
        const AdamOptions options{.lr = 0.01, .weight_decay = decay, .decoupled = decoupled};
        cpu().adam_step(slots, options, step);
        for (std::size_t s = 0; s < slots.size(); ++s) {
          const std::vector<double> g = doubles<T>(slots[s].grad);
          for (std::size_t i = 0; i < g.size(); ++i) expected[s][i].step(g[i], options, step);
        }
      }
      for (std::size_t s = 0; s < slots.size(); ++s) {
        CAPTURE(kLengths[s]);
        std::vector<double> p, m, v;
        for (const Moments& e : expected[s]) {
          p.push_back(e.p);
          m.push_back(e.m);
          v.push_back(e.v);
        }
        const double limit = tolerance<T>(1e-14, 2e-6);
        CHECK(error(doubles<T>(slots[s].param), p) < limit);
        CHECK(error(doubles<T>(slots[s].m), m) < limit);
        CHECK(error(doubles<T>(slots[s].v), v) < limit);
      }
    }
  }
}

TEST_CASE("cpu adam: eps is added after the bias correction; a zero gradient moves nothing") {
  // At the first step m / (1 - beta1) = g and sqrt(v / (1 - beta2)) = |g|: the step is lr g / (|g| + eps).
  std::vector<AdamSlot> slots{{Tensor::from<double>({3}, {1, 1, 1}), Tensor::from<double>({3}, {2, -0.5, 0}),
                               Tensor::zeros({3}, DType::float64), Tensor::zeros({3}, DType::float64)}};
  cpu().adam_step(slots, {.lr = 0.1, .eps = 0.5}, 1);
  const std::vector<double> p = slots[0].param.to_vector<double>();
  CHECK(p[0] == doctest::Approx(1 - 0.1 * 2 / 2.5).epsilon(1e-14));
  CHECK(p[1] == doctest::Approx(1 + 0.1 * 0.5 / 1.0).epsilon(1e-14));
  CHECK(p[2] == 1);
}

TEST_CASE_TEMPLATE("cpu sgd: momentum, Nesterov and decay over steps", T, float, double) {
  for (double momentum : {0.0, 0.9}) {
    for (bool nesterov : {false, true}) {
      if (nesterov && momentum == 0) continue;
      CAPTURE(momentum);
      CAPTURE(nesterov);
      std::vector<SgdSlot> slots;
      for (std::int64_t n : kLengths) {
        // The buffer may hold anything before the first step.
        Tensor buffer = momentum == 0 ? Tensor() : Tensor::full({n}, std::nan(""), dtype_of<T>());
        slots.push_back({random<T>({n}, "param"), random<T>({n}, "grad"), buffer});
      }
      std::vector<std::vector<double>> p, buffer;
      for (const SgdSlot& s : slots) p.push_back(doubles<T>(s.param));
      buffer = p;
      for (int step = 0; step < 3; ++step) {
        cpu().sgd_step(slots, {.lr = 0.1, .momentum = momentum, .weight_decay = 0.01, .nesterov = nesterov},
                       step + 1);
        for (std::size_t s = 0; s < slots.size(); ++s) {
          const std::vector<double> grad = doubles<T>(slots[s].grad);
          for (std::size_t i = 0; i < grad.size(); ++i) {
            const double g = grad[i] + 0.01 * p[s][i];
            double& b = buffer[s][i];
            b = step == 0 ? g : momentum * b + g;
            p[s][i] -= 0.1 * (momentum == 0 ? g : nesterov ? g + momentum * b : b);
          }
        }
      }
      for (std::size_t s = 0; s < slots.size(); ++s) {
        CAPTURE(kLengths[s]);
        CHECK(error(doubles<T>(slots[s].param), p[s]) < tolerance<T>(1e-14, 1e-6));
        if (momentum != 0) CHECK(error(doubles<T>(slots[s].momentum), buffer[s]) < tolerance<T>(1e-14, 1e-6));
      }
    }
  }
}

TEST_CASE("cpu global norm: over tensors of both types, without overflow in float") {
  Tensor norm = poisoned({}, DType::float64);
  const std::vector<Tensor> tensors{Tensor::from<float>({2}, {3e30f, 0}), Tensor::zeros({0}),
                                    Tensor::from<double>({1, 1}, {4e30})};
  cpu().global_norm(tensors, norm);
  CHECK(norm.item() == doctest::Approx(5e30));
  cpu().global_norm({}, norm);
  CHECK(norm.item() == 0);
  const Tensor many = random<float>({50007}, "many");
  double sum = 0;
  for (double x : doubles<float>(many)) sum += x * x;
  const std::vector<Tensor> one{many};
  cpu().global_norm(one, norm);
  CHECK(norm.item() == doctest::Approx(std::sqrt(sum)).epsilon(1e-13));
  const std::vector<Tensor> bad{Tensor::full({3}, std::nan(""))};
  cpu().global_norm(bad, norm);
  CHECK(std::isnan(norm.item()));
}

TEST_CASE("cpu optimizers: the same bits for any number of threads") {
  check_any_threads([] {
    std::vector<AdamSlot> slots = adam_slots<float>();
    cpu().adam_step(slots, {.weight_decay = 0.1}, 1);
    std::vector<Tensor> results;
    for (const AdamSlot& s : slots) results.insert(results.end(), {s.param, s.m, s.v});
    Tensor norm = Tensor::scalar(0, DType::float64);
    cpu().global_norm(results, norm);
    results.push_back(norm);
    return results;
  });
}

TEST_CASE("cpu optimizers: errors name a tensor that does not fit its parameter") {
  const Tensor p = Tensor::zeros({2, 3});
  const auto adam = [&](Tensor grad, Tensor m, std::int64_t step) {
    std::vector<AdamSlot> slots{{p, grad, m, Tensor::zeros({2, 3})}};
    cpu().adam_step(slots, {}, step);
  };
  CHECK_THROWS_WITH_AS(adam({}, p, 1), "[adam] a parameter of shape (2, 3) has no gradient", ShapeError);
  CHECK_THROWS_WITH_AS(
      adam(Tensor::zeros({3, 2}), p, 1),
      "[adam] a parameter of shape (2, 3) and type float32 has a gradient of shape (3, 2) and type "
      "float32",
      ShapeError);
  CHECK_THROWS_WITH_AS(
      adam(p, Tensor::zeros({2, 3}, DType::float64), 1),
      "[adam] a parameter of shape (2, 3) and type float32 has a first moment of shape (2, 3) and "
      "type float64",
      ShapeError);
  CHECK_THROWS_WITH_AS(adam(p, p, 0), "[adam] steps count from 1, got 0", ConfigError);
  std::vector<SgdSlot> slots{{p, p, {}}};
  CHECK_THROWS_WITH_AS(cpu().sgd_step(slots, {.momentum = 0.9}, 1),
                       "[sgd] a parameter of shape (2, 3) has no momentum buffer", ShapeError);
  CHECK_THROWS_WITH_AS(cpu().sgd_step(slots, {}, 0), "[sgd] steps count from 1, got 0", ConfigError);
}

}  // namespace fer::testing
