#include "fer/training/gradient_graph.h"

#include <utility>

#include "fer/tensor/random.h"

namespace fer {

GradientGraph::GradientGraph(std::vector<NamedVariable> parameters, std::uint64_t seed, std::uint64_t step,
                             const std::function<void()>& gradients)
    : parameters_(std::move(parameters)), captured_step_(step) {
  require<ConfigError>(!parameters_.empty(), "a graph of gradients needs at least one parameter");
  for (const NamedVariable& p : parameters_) {
    require<AutogradError>(!p.variable.grad().defined(), "the parameter '", p.name,
                           "' has a gradient; call zero_grad() before a step is captured");
  }
  graph_ = capture_graph(parameters_.front().variable.device(), [&] {
    const RandomScope random(seed, step);
    gradients();
  });
  for (NamedVariable& p : parameters_) {
    gradients_.push_back(p.variable.grad());
    p.variable.zero_grad();
  }
}

void GradientGraph::replay(std::uint64_t step) {
  graph_->replay(step - captured_step_);
  for (std::size_t i = 0; i < parameters_.size(); ++i) parameters_[i].variable.mutable_grad() = gradients_[i];
}

}  // namespace fer
