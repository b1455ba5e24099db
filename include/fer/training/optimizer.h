// Optimizers. Each owns the state of the parameters it was given and can hand it out for a checkpoint.
//
//   fer::Adam adam(model.named_parameters());
//   loss.backward();
//   adam.step(/*lr=*/1e-3);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fer/layers/module.h"
#include "fer/tensor/backend.h"

namespace fer {

/// State by name: "adam.m/head.weight" and the like. Tensors are the optimizer's own, not copies.
using OptimizerState = std::vector<std::pair<std::string, Tensor>>;

class Optimizer {
 public:
  /// Keeps those parameters that require gradients.
  explicit Optimizer(const std::vector<NamedVariable>& parameters);
  virtual ~Optimizer() = default;

  /// Runs the backward pass again at the parameters' present values, leaving new gradients.
  using Recompute = std::function<void()>;

  /// One step with the gradients that the parameters hold. A parameter without a gradient is left alone, its
  /// state too. `recompute` is used by those that look at the loss twice (SAM).
  virtual void step(double lr, const Recompute& recompute = {}) = 0;
  /// Tensors of the state, and the count of steps, for checkpoints.
  virtual OptimizerState state() const = 0;
  virtual std::int64_t steps() const = 0;
  virtual void set_steps(std::int64_t steps) = 0;

  const std::vector<NamedVariable>& parameters() const { return parameters_; }
  void zero_grad();

 protected:
  std::vector<NamedVariable> parameters_;
};

struct AdamSettings {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  ///< AdamW
};

/// Kingma and Ba, 2015; with `decoupled` Loshchilov and Hutter, 2019. All parameters in one fused call.
class Adam : public Optimizer {
 public:
  explicit Adam(const std::vector<NamedVariable>& parameters, const AdamSettings& settings = {});
  void step(double lr, const Recompute& recompute = {}) override;
  OptimizerState state() const override;
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }

 private:
  AdamSettings settings_;
  std::vector<Tensor> m_, v_;
  std::int64_t steps_ = 0;
};

struct SgdSettings {
  double momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(const std::vector<NamedVariable>& parameters, const SgdSettings& settings = {});
  void step(double lr, const Recompute& recompute = {}) override;
  OptimizerState state() const override;
  std::int64_t steps() const override { return steps_; }
  void set_steps(std::int64_t steps) override { steps_ = steps; }

 private:
  SgdSettings settings_;
  std::vector<Tensor> momentum_;
  std::int64_t steps_ = 0;
};

/// Sharpness-aware minimisation (Foret et al., 2021) around another optimizer: the gradient is taken again at
/// w + rho g / |g| and that one is stepped with from w. Doubles the work of a step.
class Sam : public Optimizer {
 public:
  Sam(std::unique_ptr<Optimizer> base, double rho);
  /// ConfigError without `recompute`.
  void step(double lr, const Recompute& recompute = {}) override;
  OptimizerState state() const override { return base_->state(); }
  std::int64_t steps() const override { return base_->steps(); }
  void set_steps(std::int64_t steps) override { base_->set_steps(steps); }

 private:
  std::unique_ptr<Optimizer> base_;
  double rho_;
};

/// The norm of all gradients taken as one vector.
double gradient_norm(const std::vector<NamedVariable>& parameters);
/// Scales all gradients so that their norm is at most `max_norm`; returns the norm before.
double clip_gradients(const std::vector<NamedVariable>& parameters, double max_norm);

/// Exponential moving average of the parameters, for evaluation.
class MovingAverage {
 public:
  MovingAverage(const std::vector<NamedVariable>& parameters, double decay);
  void update();
  /// Exchanges the parameters' values with their averages; called twice it changes nothing.
  void swap();
  OptimizerState state() const;

 private:
  std::vector<NamedVariable> parameters_;
  std::vector<Tensor> average_;
  double decay_;
};

}  // namespace fer
