#include "training/step_gradients.h"

#include <utility>

#include "fer/tensor/random.h"

namespace fer {

StepGradients::StepGradients(Task& task, std::vector<NamedVariable> parameters, const TrainingConfig& config,
                             Communicator& ranks, TrainingObserver& observer)
    : task_(task),
      parameters_(std::move(parameters)),
      seed_(config.seed),
      graph_wanted_(config.graph && ranks.size() == 1),
      ranks_(ranks),
      sum_(ranks, parameters_, config.bf16_gradients ? DType::bfloat16 : DType::float32),
      observer_(observer) {}

/// The ranks' losses add up to that of the whole batch.
StepLoss StepGradients::values_of(const LossResult& loss) const {
  std::vector<double> values{loss.total.item()};
  for (const auto& [name, part] : loss.parts) values.push_back(part.item());
  Tensor sums = Tensor::from<double>({static_cast<std::int64_t>(values.size())}, values);
  ranks_.all_reduce(sums);
  values = sums.to_vector<double>();
  StepLoss result{values[0], {}};
  for (std::size_t i = 0; i < loss.parts.size(); ++i)
    result.parts.emplace_back(loss.parts[i].first, values[i + 1]);
  return result;
}

bool StepGradients::fits(const std::vector<Tensor>& inputs) const {
  if (inputs.size() != inputs_.size()) return false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined() != inputs_[i].defined()) return false;
    if (inputs[i].defined() && !(inputs[i].shape() == inputs_[i].shape())) return false;
  }
  return true;
}

void StepGradients::capture(const std::vector<Tensor>& inputs, std::uint64_t step) {
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs_[i] = inputs[i].clone();
  try {
    graph_ = std::make_unique<GradientGraph>(parameters_, seed_, step, [&] {
      loss_ = task_.loss(inputs_);
      loss_.total.backward();
    });
  } catch (const CaptureError& error) {
    graph_wanted_ = false;
    for (NamedVariable& p : parameters_) p.variable.zero_grad();
    observer_.on_note(concat("the step is not replayed as a graph: ", error.what()));
  }
}

StepLoss StepGradients::compute(const std::vector<Tensor>& inputs, std::uint64_t step) {
  if (graph_wanted_ && !fits(inputs)) {
    graph_ = nullptr;
    warm_ = false;
    inputs_ = inputs;
  }
  // The first step is computed directly: one-time set-up cannot be captured.
  if (graph_wanted_ && warm_ && !graph_) capture(inputs, step);
  if (!graph_) {
    const RandomScope random(seed_, step);
    LossResult loss;
    sum_.run([&] {
      loss = task_.loss(inputs);
      loss.total.backward();
    });
    warm_ = true;
    return values_of(loss);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined()) inputs_[i].copy_from(inputs[i]);
  }
  graph_->replay(step);
  return values_of(loss_);
}

}  // namespace fer
