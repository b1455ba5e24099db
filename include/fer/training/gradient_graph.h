// GradientGraph: forward and backward of a training step, captured once and given to the device in one call
// from then on. The optimizer, whose constants change from step to step and which is a launch or two, follows
// by itself.
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
  /// Captures `gradients`, which computes a loss and its backward under RandomScope(seed, step), without
  /// doing it. Parameters must have no gradients; CaptureError as capture_graph().
  GradientGraph(std::vector<NamedVariable> parameters, std::uint64_t seed, std::uint64_t step,
                const std::function<void()>& gradients);

  /// The parameters' gradients are those of `step` afterwards, whatever they were before.
  void replay(std::uint64_t step);
  /// Kernels and copies in it.
  std::size_t operations() const { return graph_->operations(); }

 private:
  std::vector<NamedVariable> parameters_;
  std::vector<Tensor> gradients_;  ///< the memory that the graph writes; undefined where a parameter has none
  std::uint64_t captured_step_;
  std::unique_ptr<DeviceGraph> graph_;
};

}  // namespace fer
