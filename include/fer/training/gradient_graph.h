// GradientGraph: the forward and backward passes of a training step, captured once and then launched in one
// call per step. The optimizer is not part of it: its constants change from step to step, and it needs only a
// launch or two.
//
//   fer::GradientGraph graph(optimizer.parameters(), seed, step, [&] {
//     criterion(model(x), labels).backward();          // x and labels keep their memory
//   });
//   for (;; ++step) {
//     x.mutable_value().copy_from(...);
//     graph.replay(step);                               // as under RandomScope(seed, step)
//     optimizer.step();
//     optimizer.zero_grad();
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "fer/layers/module.h"
#include "fer/tensor/device_runtime.h"

namespace fer {

class GradientGraph {
 public:
  /// Captures `gradients`, which computes a loss and its backward pass, under RandomScope(seed, step),
  /// without running it. Parameters must have no gradients. CaptureError as for capture_graph().
  GradientGraph(std::vector<NamedVariable> parameters, std::uint64_t seed, std::uint64_t step,
                const std::function<void()>& gradients);

  /// Sets the parameters' gradients to those of `step`, whatever they were before.
  void replay(std::uint64_t step);
  /// The number of kernels and copies in it.
  std::size_t operations() const { return graph_->operations(); }

 private:
  std::vector<NamedVariable> parameters_;
  std::vector<Tensor> gradients_;  ///< the memory that the graph writes; undefined if a parameter has none
  std::uint64_t captured_step_;
  std::unique_ptr<DeviceGraph> graph_;
};

}  // namespace fer
