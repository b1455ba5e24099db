#include <algorithm>
#include <set>

#include "fer/autograd/variable.h"
#include "fer/graph/passes.h"
#include "graph/operations.h"

namespace fer {
namespace {

constexpr Extent one_per_image{1, 0};

bool is_known(const Graph& graph, ValueId id) {
  return id == no_value || graph.is_constant(id);
}

bool grows(const GraphValue& value) {
  return std::any_of(value.shape.begin(), value.shape.end(),
                     [](const Extent& extent) { return extent.per_image != 0; });
}

/// The dimension of a value that counts the images; -1 if there is not exactly one, or if it is the last.
int images_dim(const GraphValue& value) {
  int found = -1;
  for (std::size_t i = 0; i < value.shape.size(); ++i) {
    if (value.shape[i].per_image == 0) continue;
    if (found >= 0 || value.shape[i] != one_per_image || i + 1 == value.shape.size()) return -1;
    found = static_cast<int>(i);
  }
  return found;
}

/// The result of a node for one image whose first input is `x`.
Tensor result_of(const Graph& graph, const GraphNode& node, const Tensor& x) {
  std::vector<Tensor> inputs{x};
  for (std::size_t i = 1; i < node.inputs.size(); ++i) inputs.push_back(graph.constant(node.inputs[i]));
  const GraphValue& value = graph.value(node.output);
  return operation_of(node)(node, inputs, value.at(1), value.dtype);
}

/// The constant that `id` repeats for every image; undefined if it is not of this kind.
Tensor repeated(const Graph& graph, const GraphUses& uses, ValueId id) {
  const GraphNode* node = uses.producer(id);
  if (!node || node->op != "broadcast_to" || !graph.is_constant(node->inputs[0])) return {};
  const Tensor constant = graph.constant(node->inputs[0]);
  const GraphValue& value = graph.value(id);
  return images_dim(value) >= 0 && constant.shape() == value.at(1) ? constant : Tensor();
}

/// What is computed of a constant that is repeated for every image is computed once, and repeated.
void repeat_results(Graph& graph) {
  // These treat each place along the images' dimension by itself.
  static const std::set<std::string_view> by_image{
      "linear", "linear_gelu", "layer_norm", "gelu", "relu",    "sigmoid", "scale",     "cast",
      "exp",    "log",         "sqrt",       "abs",  "reshape", "permute", "transpose", "matmul"};
  const GraphUses uses(graph);
  for (GraphNode& node : graph.nodes) {
    if (!by_image.contains(node.op) || images_dim(graph.value(node.output)) < 0) continue;
    const Tensor constant = repeated(graph, uses, node.inputs[0]);
    const bool others_known = std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                                          [&](ValueId id) { return is_known(graph, id); });
    if (!constant.defined() || !others_known) continue;
    Tensor result = result_of(graph, node, constant);
    node.op = "broadcast_to";
    node.attributes.clear();
    node.inputs = {graph.add_constant(std::move(result))};
  }
}

}  // namespace

void fold_constants(Graph& graph) {
  const NoGrad no_grad;
  for (const GraphNode& node : graph.nodes) {
    const bool known =
        std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return is_known(graph, id); });
    // A constant result that grows is one repeated for each image.
    if (!known || grows(graph.value(node.output))) continue;
    graph.value(node.output).constant = result_of(graph, node, graph.constant(node.inputs[0]));
  }
  std::erase_if(graph.nodes, [&](const GraphNode& node) { return graph.is_constant(node.output); });
  repeat_results(graph);
  graph.remove_unused();
}

}  // namespace fer
