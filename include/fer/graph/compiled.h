// Compiled: a function of tensors that is traced at its first call, optimised, and run as a graph from then
// on.
//
//   model.eval();
//   fer::Compiled scores([&](const auto& in) { return std::vector{model(in[0]).scores}; });
//   fer::Tensor y = scores({images})[0];
//
// If a weight has changed, or the inputs have another size, type, device or precision, the next call traces
// again. On a device with a queue, the second call in a row with the same number of images is captured;
// later calls replay it, with one launch for all kernels. A graph that cannot be captured, because an
// operation computes on the host, runs directly.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "fer/graph/executor.h"
#include "fer/graph/trace.h"
#include "fer/tensor/device_runtime.h"
#include "fer/tensor/precision.h"

namespace fer {

/// Whether a Compiled captures its work on devices that can replay it. A capture keeps the memory of all its
/// values.
enum class Replay { automatic, never };

class Compiled {
 public:
  /// f as for trace(); everything that it refers to must outlive this.
  explicit Compiled(TensorFunction f, Replay replay = Replay::automatic)
      : f_(std::move(f)), replay_(replay) {}

  /// f's results, without gradients. Inputs are on the device of f's weights, and their first extent is the
  /// number of images.
  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs);

  /// The graph of the last call; null before it.
  const Graph* graph() const { return executor_ ? &executor_->graph() : nullptr; }
  /// Number of kernels and copies in a replayed call; 0 before the capture.
  std::size_t captured_operations() const { return captured_.graph ? captured_.graph->operations() : 0; }
  /// Drops the graph and the constants made from the weights.
  void reset();

 private:
  /// The last call's number of images and, from its second occurrence in a row on, its capture.
  struct Captured {
    std::int64_t images = -1;
    bool refused = false;  ///< an operation cannot be captured
    MathMode math = MathMode::native;
    std::vector<Tensor> inputs, outputs;  ///< memory that the graph reads and writes
    std::unique_ptr<DeviceGraph> graph;
  };

  bool fits(const std::vector<Tensor>& inputs) const;
  /// Whether this call may be captured or replayed.
  bool can_replay() const;
  std::vector<Tensor> replay(const std::vector<Tensor>& inputs);

  TensorFunction f_;
  Replay replay_;
  std::optional<Executor> executor_;
  Captured captured_;
  Device device_ = Device::cpu;
  Precision precision_ = Precision::float32;
};

}  // namespace fer
