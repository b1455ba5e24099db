// The loss and the gradients of a training step, summed over the ranks: computed directly, or captured once as a
// graph and replayed.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fer/tensor/device_runtime.h"
#include "fer/training/gradient_graph.h"
#include "fer/training/loop.h"
#include "training/gradient_sum.h"

namespace fer {

struct StepLoss {
  double total = 0;
  Figures parts;
};

class StepGradients {
 public:
  /// With TrainingConfig::graph, one process captures steps if the device can; if not, tells the observer why,
  /// once. Several processes do not, as messages are no part of a graph.
  StepGradients(Task& task, std::vector<NamedVariable> parameters, const TrainingConfig& config,
                Communicator& ranks, TrainingObserver& observer);

  /// Adds the gradients of the loss of `inputs` to the parameters, whose gradients must be undefined before.
  /// `step` is the random key of dropout. Waits for the device. Several ranks must be within a GlobalBatch.
  StepLoss compute(const std::vector<Tensor>& inputs, std::uint64_t step);

 private:
  StepLoss values_of(const LossResult& loss) const;
  void capture(const std::vector<Tensor>& inputs, std::uint64_t step);
  bool fits(const std::vector<Tensor>& inputs) const;

  Task& task_;
  std::vector<NamedVariable> parameters_;
  std::uint64_t seed_;
  bool graph_wanted_;
  Communicator& ranks_;
  GradientSum sum_;
  TrainingObserver& observer_;
  bool warm_ = false;           ///< a step with these shapes has been computed directly
  std::vector<Tensor> inputs_;  ///< the memory that the graph reads; before the capture, only shapes
  LossResult loss_;             ///< the memory that it writes
  std::unique_ptr<GradientGraph> graph_;
};

}  // namespace fer
