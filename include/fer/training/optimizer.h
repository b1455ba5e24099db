// Optimizers. Each owns the optimizer state of its parameters and exposes it for checkpoints.
//
//   fer::Adam adam(net.parameters(), {.lr = 1e-3});
//   adam.zero_grad();
//   loss.backward();
//   adam.step();
//
// step() counts the step, and dropout in this thread then draws new masks (RandomScope).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fer/layers/module.h"
#include "fer/tensor/backend.h"

namespace fer {

/// State by name, such as "adam.m/head.weight". Tensors are the optimizer's own, not copies.
using OptimizerState = std::vector<std::pair<std::string, Tensor>>;

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Takes one step with the parameters' gradients. A parameter without a gradient and its state stay
  /// unchanged.
  void step();
  void zero_grad();

  /// The learning rate, for schedules.
  virtual double lr() const = 0;
  virtual void set_lr(double lr) = 0;

  /// The state's tensors and the number of steps, for checkpoints.
  virtual OptimizerState state() const = 0;
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps);

  const std::vector<NamedVariable>& parameters() const { return parameters_; }

 protected:
  /// Keeps the parameters that require gradients. ConfigError if none does.
  explicit Optimizer(const std::vector<NamedVariable>& parameters);
  /// Does step number steps().
  virtual void update() = 0;

  std::vector<NamedVariable> parameters_;

 private:
  std::int64_t steps_ = 0;
};

/// Parameters with their own names (Variable::name); the state's tensors use them too.
std::vector<NamedVariable> with_names(const std::vector<Variable>& parameters);

/// Kingma and Ba, 2015; with `decoupled`, Loshchilov and Hutter, 2019. Updates all parameters in one fused
/// call.
class Adam : public Optimizer {
 public:
  explicit Adam(const std::vector<NamedVariable>& parameters, const AdamOptions& options = {});
  explicit Adam(const std::vector<Variable>& parameters, const AdamOptions& options = {})
      : Adam(with_names(parameters), options) {}
  double lr() const override { return options_.lr; }
  void set_lr(double lr) override { options_.lr = lr; }
  OptimizerState state() const override;

 private:
  void update() override;

  AdamOptions options_;
  std::vector<Tensor> m_, v_;
};

class Sgd : public Optimizer {
 public:
  explicit Sgd(const std::vector<NamedVariable>& parameters, const SgdOptions& options = {});
  explicit Sgd(const std::vector<Variable>& parameters, const SgdOptions& options = {})
      : Sgd(with_names(parameters), options) {}
  double lr() const override { return options_.lr; }
  void set_lr(double lr) override { options_.lr = lr; }
  OptimizerState state() const override;

 private:
  void update() override;

  SgdOptions options_;
  std::vector<Tensor> momentum_;
};

/// Sharpness-aware minimisation (Foret et al., 2021), for use with any optimizer: the gradient is computed
/// again at w + rho g / |g|, and the optimizer applies that gradient at w. It doubles the work of a step.
///
///   loss().backward();
///   sam.ascend();            // the parameters move to w + rho g / |g|
///   adam.zero_grad();
///   loss().backward();
///   sam.restore();           // and back to w
///   adam.step();
class Sam {
 public:
  /// ConfigError unless rho is positive.
  Sam(const std::vector<NamedVariable>& parameters, double rho);
  Sam(const std::vector<Variable>& parameters, double rho) : Sam(with_names(parameters), rho) {}
  /// ConfigError if the previous ascend() was not followed by restore().
  void ascend();
  /// ConfigError unless ascend() was called before.
  void restore();

 private:
  std::vector<NamedVariable> parameters_;
  double rho_;
  std::vector<SamSlot> slots_;  ///< between ascend() and restore(): the original parameters
};

/// The norm of all gradients concatenated into one vector.
double gradient_norm(const std::vector<NamedVariable>& parameters);
/// Scales all gradients so that their norm is at most `max_norm`; returns the norm before scaling.
double clip_gradients(const std::vector<NamedVariable>& parameters, double max_norm);

/// Exponential moving average of the parameters, for evaluation.
class MovingAverage {
 public:
  MovingAverage(const std::vector<NamedVariable>& parameters, double decay);
  void update();
  /// Swaps the parameters' values with their averages; calling it twice changes nothing.
  void swap();
  OptimizerState state() const;

 private:
  std::vector<NamedVariable> parameters_;
  std::vector<Tensor> average_;
  double decay_;
};

}  // namespace fer
