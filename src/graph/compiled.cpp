#include "fer/graph/compiled.h"

#include "fer/autograd/profiler.h"
#include "fer/error.h"
#include "fer/graph/passes.h"
#include "fer/tensor/backend.h"

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
    reset();
    Graph graph = trace(f_, inputs);
    optimise(graph);
    device_ = inputs[0].device();
    precision_ = precision(device_);
    executor_.emplace(std::move(graph));
  }
  return can_replay() ? replay(inputs) : (*executor_)(inputs);
}

void Compiled::reset() {
  captured_ = {};  // before the executor, whose weights the captured graph reads
  executor_.reset();
}

bool Compiled::can_replay() const {
  // A profiler needs to see each operation. During an outer capture, the outer graph will do the replay.
  return replay_ == Replay::automatic && backend(device_).runtime() && !is_capturing(device_) &&
         !Profiler::current();
}

std::vector<Tensor> Compiled::replay(const std::vector<Tensor>& inputs) {
  const std::int64_t images = inputs[0].dim(0);
  if (captured_.images != images || captured_.math != math_mode(device_)) {
    captured_ = {};
    captured_.images = images;
    captured_.math = math_mode(device_);
    return (*executor_)(inputs);  // directly: the first run sets things up, which cannot be captured
  }
  if (captured_.refused) return (*executor_)(inputs);
  if (!captured_.graph) {
    for (const Tensor& input : inputs) captured_.inputs.push_back(input.clone());
    try {
      captured_.graph = capture_graph(device_, [&] { captured_.outputs = (*executor_)(captured_.inputs); });
    } catch (const CaptureError&) {  // an operation of the user computes on the host
      captured_.inputs.clear();
      captured_.refused = true;
      return (*executor_)(inputs);
    }
  } else {
    for (std::size_t i = 0; i < inputs.size(); ++i) captured_.inputs[i].copy_from(inputs[i]);
  }
  captured_.graph->replay();
  std::vector<Tensor> outputs;  // copies: the next replay overwrites the captured ones
  for (const Tensor& output : captured_.outputs) outputs.push_back(output.clone());
  return outputs;
}

}  // namespace fer
