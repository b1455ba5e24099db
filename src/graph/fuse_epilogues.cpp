// Moves an operation into the kernel of the product whose result it reads, which saves a pass over memory.
#include <algorithm>

#include "fer/graph/passes.h"

namespace fer {
namespace {

/// The node that makes `id`, if it is a product with a single reader and no epilogue yet.
GraphNode* open_product(Graph& graph, const GraphUses& uses, ValueId id) {
  const int index = id == no_value ? -1 : uses.producer_index(id);
  if (index < 0 || !uses.read_once(id)) return nullptr;
  GraphNode& node = graph.nodes[static_cast<std::size_t>(index)];
  if (node.op == "fused_conv2d") return node.inputs[4] == no_value ? &node : nullptr;
  if (node.op == "fused_linear") return node.inputs[3] == no_value ? &node : nullptr;
  return nullptr;
}

/// Puts `product`, which now includes the work of `end`, in the place of `end`.
void take_place(GraphNode& end, GraphNode& product) {
  const ValueId output = end.output;
  end = product;
  end.output = output;
  product.op.clear();  // nodes with an empty op are dropped below
}

bool fuse_activation(Graph& graph, const GraphUses& uses, GraphNode& node) {
  GraphNode* product = open_product(graph, uses, node.inputs[0]);
  if (!product) return false;
  if (product->op == "fused_linear") {
    if (node.op != "gelu" || product->integer("gelu") != 0) return false;
    product->attributes["gelu"] = std::int64_t{1};
  } else {
    if (node.op == "gelu" || product->inputs[3] != no_value) return false;
    if (node.op == "prelu" && !graph.is_constant(node.inputs[1])) return false;
    const Tensor weight = graph.constant(product->inputs[1]);
    product->inputs[3] =
        node.op == "prelu"
            ? node.inputs[1]
            : graph.add_constant(Tensor::zeros({weight.dim(0)}, weight.dtype(), weight.device()));
  }
  take_place(node, *product);
  return true;
}

bool fuse_sum(Graph& graph, const GraphUses& uses, GraphNode& node) {
  // Fuse into the later of two products: the other's result exists by then.
  ValueId ours = node.inputs[0], other = node.inputs[1];
  if (uses.producer_index(ours) < uses.producer_index(other)) std::swap(ours, other);
  GraphNode* product = open_product(graph, uses, ours);
  if (!product) {
    std::swap(ours, other);
    product = open_product(graph, uses, ours);
  }
  const bool same = ours != other && graph.value(ours).shape == graph.value(other).shape &&
                    graph.value(ours).dtype == graph.value(other).dtype && !graph.is_constant(other);
  if (!product || !same) return false;
  product->inputs[product->op == "fused_conv2d" ? 4 : 3] = other;
  take_place(node, *product);
  return true;
}

}  // namespace

void fuse_epilogues(Graph& graph) {
  for (bool changed = true; changed;) {
    changed = false;
    const GraphUses uses(graph);
    for (GraphNode& node : graph.nodes) {
      if (node.op == "prelu" || node.op == "relu" || node.op == "gelu") {
        changed = fuse_activation(graph, uses, node);
      } else if (node.op == "add") {
        changed = fuse_sum(graph, uses, node);
      }
      if (changed) break;
    }
    std::erase_if(graph.nodes, [](const GraphNode& node) { return node.op.empty(); });
  }
  graph.remove_unused();
}

}  // namespace fer
