// InferenceGraph: a network's forward pass, captured for the shape of its input and replayed from then on.
//
//   fer::InferenceGraph forward([&](const fer::Tensor& x) { return
//   std::vector{model(fer::Variable(x)).value()}; }); for (...) scores = forward(images)[0];      //
//   directly, captured, replayed, replayed, ...
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fer/tensor/device_runtime.h"

namespace fer {

class InferenceGraph {
 public:
  using Network = std::function<std::vector<Tensor>(const Tensor& x)>;

  /// `network` looks at no values and always gives the same number of tensors; it is run without gradients.
  explicit InferenceGraph(Network network);

  /// The network's results, overwritten by the next call. A first call with a shape runs the network
  /// directly, so that whatever is set up at first use is there; the second one captures it. CaptureError as
  /// capture_graph().
  std::vector<Tensor> operator()(const Tensor& x);

 private:
  Network network_;
  Tensor x_;  ///< the input of the last call; with a graph, the memory that it reads
  std::vector<Tensor> results_;
  std::unique_ptr<DeviceGraph> graph_;
};

}  // namespace fer
