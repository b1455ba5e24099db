#include "fer/training/optimizer.h"

#include <algorithm>
#include <iterator>

#include "fer/tensor/random.h"

namespace fer {
namespace {

std::vector<Tensor> zeros_for(const std::vector<NamedVariable>& parameters) {
  std::vector<Tensor> zeros;
  zeros.reserve(parameters.size());
  for (const NamedVariable& p : parameters) zeros.push_back(Tensor::zeros_like(p.variable.value()));
  return zeros;
}

void append(OptimizerState& state, const std::string& prefix, const std::vector<NamedVariable>& parameters,
            const std::vector<Tensor>& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i)
    state.emplace_back(prefix + parameters[i].name, tensors[i]);
}

Backend& backend_for(const std::vector<NamedVariable>& parameters) {
  return backend(parameters.empty() ? Device::cpu : parameters.front().variable.device());
}

/// A float64 scalar on the parameters' device; undefined if none has a gradient.
Tensor gradient_norm_of(const std::vector<NamedVariable>& parameters) {
  std::vector<Tensor> gradients;
  for (const NamedVariable& p : parameters) {
    if (p.variable.grad().defined()) gradients.push_back(p.variable.grad());
  }
  if (gradients.empty()) return {};
  Tensor norm = Tensor::empty({}, DType::float64, gradients.front().device());
  backend_of(norm).global_norm(gradients, norm);
  return norm;
}

std::vector<NamedVariable> trainable(const std::vector<NamedVariable>& parameters) {
  std::vector<NamedVariable> trained;
  std::copy_if(parameters.begin(), parameters.end(), std::back_inserter(trained),
               [](const NamedVariable& p) { return p.variable.requires_grad(); });
  return trained;
}

}  // namespace

std::vector<NamedVariable> with_names(const std::vector<Variable>& parameters) {
  std::vector<NamedVariable> named;
  for (const Variable& p : parameters) named.push_back({p.name(), p});
  return named;
}

Optimizer::Optimizer(const std::vector<NamedVariable>& parameters) : parameters_(trainable(parameters)) {
  require<ConfigError>(!parameters_.empty(),
                       "an optimizer needs at least one parameter that requires gradients");
}

void Optimizer::step() {
  ++steps_;
  update();
  RandomScope::finish_step();
}

void Optimizer::set_steps(std::int64_t steps) {
  steps_ = steps;
  RandomScope::set_steps(static_cast<std::uint64_t>(steps));
}

void Optimizer::zero_grad() {
  for (NamedVariable& p : parameters_) p.variable.zero_grad();
}

Adam::Adam(const std::vector<NamedVariable>& parameters, const AdamOptions& options)
    : Optimizer(parameters), options_(options), m_(zeros_for(parameters_)), v_(zeros_for(parameters_)) {}

void Adam::update() {
  std::vector<AdamSlot> slots;
  slots.reserve(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Variable& p = parameters_[i].variable;
    if (p.grad().defined()) slots.push_back({p.mutable_value(), p.grad(), m_[i], v_[i]});
  }
  if (slots.empty()) return;
  backend_for(parameters_).adam_step(slots, options_, steps());
}

OptimizerState Adam::state() const {
  OptimizerState state;
  append(state, "adam.m/", parameters_, m_);
  append(state, "adam.v/", parameters_, v_);
  return state;
}

Sgd::Sgd(const std::vector<NamedVariable>& parameters, const SgdOptions& options)
    : Optimizer(parameters), options_(options) {
  if (options_.momentum != 0) momentum_ = zeros_for(parameters_);
}

void Sgd::update() {
  std::vector<SgdSlot> slots;
  slots.reserve(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Variable& p = parameters_[i].variable;
    if (!p.grad().defined()) continue;
    slots.push_back({p.mutable_value(), p.grad(), momentum_.empty() ? Tensor() : momentum_[i]});
  }
  if (slots.empty()) return;
  backend_for(parameters_).sgd_step(slots, options_, steps());
}

OptimizerState Sgd::state() const {
  OptimizerState state;
  append(state, "sgd.momentum/", parameters_, momentum_);
  return state;
}

Sam::Sam(const std::vector<NamedVariable>& parameters, double rho)
    : parameters_(trainable(parameters)), rho_(rho) {
  require<ConfigError>(rho > 0, "sam: rho must be positive, got ", rho);
}

void Sam::ascend() {
  require<ConfigError>(slots_.empty(), "sam: ascend() was called twice without restore()");
  // restore() copies the saved weights back: subtracting the step would leave rounding errors.
  for (NamedVariable& p : parameters_) {
    slots_.push_back({p.variable.mutable_value(), p.variable.grad(), Tensor::empty_like(p.variable.value())});
  }
  const Tensor norm = gradient_norm_of(parameters_);
  if (norm.defined()) {
    backend_for(parameters_).sam_ascend(slots_, rho_, norm);
  } else {  // no gradient: nothing to ascend
    for (SamSlot& slot : slots_) slot.saved.copy_from(slot.param);
  }
}

void Sam::restore() {
  require<ConfigError>(!slots_.empty(), "sam: restore() was called without ascend()");
  backend_for(parameters_).sam_restore(slots_);
  slots_.clear();
}

double gradient_norm(const std::vector<NamedVariable>& parameters) {
  const Tensor norm = gradient_norm_of(parameters);
  return norm.defined() ? norm.item() : 0;
}

double clip_gradients(const std::vector<NamedVariable>& parameters, double max_norm) {
  const double norm = gradient_norm(parameters);
  if (norm > max_norm) {
    for (const NamedVariable& p : parameters) {
      Variable variable = p.variable;
      if (!variable.grad().defined()) continue;
      Tensor& gradient = variable.mutable_grad();
      backend_of(gradient).scale(gradient, max_norm / norm, gradient);
    }
  }
  return norm;
}

MovingAverage::MovingAverage(const std::vector<NamedVariable>& parameters, double decay) : decay_(decay) {
  require<ConfigError>(decay > 0 && decay < 1, "the decay of a moving average lies between 0 and 1, got ",
                       decay);
  for (const NamedVariable& p : parameters) {
    if (!p.variable.requires_grad()) continue;
    parameters_.push_back(p);
    average_.push_back(p.variable.value().clone());
  }
}

void MovingAverage::update() {
  for (std::size_t i = 0; i < average_.size(); ++i) {
    backend_of(average_[i]).lerp(parameters_[i].variable.value(), 1 - decay_, average_[i]);
  }
}

void MovingAverage::swap() {
  for (std::size_t i = 0; i < average_.size(); ++i) {
    const Tensor average = average_[i].clone();
    average_[i].copy_from(parameters_[i].variable.value());
    parameters_[i].variable.mutable_value().copy_from(average);
  }
}

OptimizerState MovingAverage::state() const {
  OptimizerState state;
  append(state, "ema/", parameters_, average_);
  return state;
}

}  // namespace fer
