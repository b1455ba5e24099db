// Compiled: a function of tensors that is traced at its first call, optimised, and run as a graph from then
// on.
//
//   model.eval();
//   fer::Compiled scores([&](const auto& in) { return std::vector{model(in[0]).scores}; });
//   fer::Tensor y = scores({images})[0];
//
// It follows its function: when a weight has been changed since, or the inputs have another size, type,
// device or precision, the next call traces anew.
#pragma once

#include <optional>
#include <vector>

#include "fer/graph/executor.h"
#include "fer/graph/trace.h"
#include "fer/tensor/precision.h"

namespace fer {

class Compiled {
 public:
  /// f as for trace(); what it refers to must outlive this.
  explicit Compiled(TensorFunction f) : f_(std::move(f)) {}

  /// f's results, without gradients. Inputs are of the device of f's weights, and their first extent is the
  /// number of images.
  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs);

  /// The graph of the last call; null before it.
  const Graph* graph() const { return executor_ ? &executor_->graph() : nullptr; }
  /// Forgets the graph and what it keeps of the weights.
  void reset() { executor_.reset(); }

 private:
  bool fits(const std::vector<Tensor>& inputs) const;

  TensorFunction f_;
  std::optional<Executor> executor_;
  Device device_ = Device::cpu;
  Precision precision_ = Precision::float32;
};

}  // namespace fer
