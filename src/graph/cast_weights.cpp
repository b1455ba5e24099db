#include "fer/graph/passes.h"
#include "fer/tensor/precision.h"

namespace fer {

void cast_weights(Graph& graph) {
  for (GraphNode& node : graph.nodes) {
    const bool convolution = node.op == "fused_conv2d";
    if (!convolution && node.op != "fused_linear") continue;
    if (convolution && node.integer("groups") > 1) continue;  // computed in float32
    const Tensor weight = graph.constant(node.inputs[1]), operand = product_operand(weight);
    if (operand.dtype() == weight.dtype()) continue;
    node.inputs[1] = graph.add_constant(operand);
    if (convolution && node.inputs[5] != no_value)
      node.inputs[5] = graph.add_constant(graph.constant(node.inputs[5]).to(operand.dtype()));
  }
  graph.remove_unused();
}

}  // namespace fer
