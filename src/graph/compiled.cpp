#include "fer/graph/compiled.h"

#include "fer/error.h"
#include "fer/graph/passes.h"

namespace fer {

bool Compiled::fits(const std::vector<Tensor>& inputs) const {
  if (!executor_ || device_ != inputs[0].device() || precision_ != precision(device_)) return false;
  const Graph& graph = executor_->graph();
  if (graph.inputs.size() != inputs.size() || !graph.is_current()) return false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const GraphValue& value = graph.value(graph.inputs[i]);
    if (value.dtype != inputs[i].dtype() || value.at(inputs[i].dim(0)) != inputs[i].shape()) return false;
  }
  return true;
}

std::vector<Tensor> Compiled::operator()(const std::vector<Tensor>& inputs) {
  require<GraphError>(!inputs.empty() && inputs[0].rank() >= 1,
                      "a compiled function needs an input of images");
  if (!fits(inputs)) {
    executor_.reset();
    Graph graph = trace(f_, inputs);
    optimise(graph);
    device_ = inputs[0].device();
    precision_ = precision(device_);
    executor_.emplace(std::move(graph));
  }
  return (*executor_)(inputs);
}

}  // namespace fer
