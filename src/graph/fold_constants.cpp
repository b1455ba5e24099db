#include <algorithm>

#include "fer/autograd/variable.h"
#include "fer/graph/passes.h"
#include "graph/operations.h"

namespace fer {

void fold_constants(Graph& graph) {
  const NoGrad no_grad;
  for (const GraphNode& node : graph.nodes) {
    const bool known = std::all_of(node.inputs.begin(), node.inputs.end(),
                                   [&](ValueId id) { return id == no_value || graph.is_constant(id); });
    const GraphValue& value = graph.value(node.output);
    const bool grows = std::any_of(value.shape.begin(), value.shape.end(),
                                   [](const Extent& extent) { return extent.per_image != 0; });
    if (!known || grows) continue;  // a growing value is a constant repeated for each image
    std::vector<Tensor> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(graph.constant(id));
    graph.value(node.output).constant = operation_of(node)(node, inputs, value.at(1), value.dtype);
  }
  std::erase_if(graph.nodes, [&](const GraphNode& node) { return graph.is_constant(node.output); });
  graph.remove_unused();
}

}  // namespace fer
