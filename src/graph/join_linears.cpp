// The tokens of a map are [class token; W x + b]. Mark them: add to x a channel that is 1 in the first row
// and 0 elsewhere, and fill the rest of the first row, which has no pixel, with zeros. Then the tokens are
// one linear layer of x: W' = [W | token - b], bias b. A layer V of these tokens (+ positions p), with bias
// c, is then a layer of x too: weight V W', bias V b + c, plus V p.
#include <algorithm>
#include <optional>

#include "fer/autograd/ops.h"
#include "fer/error.h"
#include "fer/graph/passes.h"

namespace fer {
namespace {

Variable in_float64(const Tensor& tensor) {
  return Variable(tensor.to(Device::cpu).to(DType::float64));
}

ValueId add_like(Graph& graph, const Variable& value, const Tensor& like) {
  return graph.add_constant(value.value().to(like.dtype()).to(like.device()));
}

bool is_plain_linear(const GraphNode* node) {
  return node && node->op == "fused_linear" && node->inputs[3] == no_value && node->integer("gelu") == 0;
}

/// Whether a linear layer reads the value, or its sum with a constant.
bool feeds_linear(const Graph& graph, const GraphUses& uses, ValueId id) {
  const std::vector<int>& readers = uses.readers(id);
  return std::any_of(readers.begin(), readers.end(), [&](int reader) {
    const GraphNode& node = graph.nodes[static_cast<std::size_t>(reader)];
    if (node.op == "add" && graph.is_constant(node.inputs[1])) return feeds_linear(graph, uses, node.output);
    return is_plain_linear(&node) && node.inputs[0] == id;
  });
}

/// Turns concat(a row for every image, linear(x)) into a linear layer of marked tokens.
bool mark_first_row(Graph& graph, const GraphUses& uses, GraphNode& node) {
  if (node.op != "concat" || node.inputs.size() != 2 || node.integer("dim") != 1) return false;
  const GraphNode* row = uses.producer(node.inputs[0]);
  const GraphNode* linear_node = uses.producer(node.inputs[1]);
  if (!row || row->op != "broadcast_to" || !graph.is_constant(row->inputs[0]) ||
      !is_plain_linear(linear_node) || !uses.read_once(node.inputs[1]) ||
      graph.value(node.inputs[0]).shape.size() != 3 || graph.value(node.inputs[0]).shape[1] != Extent{0, 1} ||
      linear_node->inputs[2] == no_value || !feeds_linear(graph, uses, node.output)) {
    return false;
  }
  const ValueId x = linear_node->inputs[0];
  const Tensor weight = graph.constant(linear_node->inputs[1]), token = graph.constant(row->inputs[0]);
  const std::int64_t out = weight.dim(0);
  if (token.numel() != out) return false;
  const Variable bias = reshape(in_float64(graph.constant(linear_node->inputs[2])), {out, 1});
  const Variable marked = concat({in_float64(weight), sub(reshape(in_float64(token), {out, 1}), bias)}, 1);

  std::vector<Extent> shape = graph.value(node.output).shape;
  shape[2] = {0, marked.dim(1)};
  const DType dtype = graph.value(x).dtype;
  const ValueId tokens = graph.add_value(std::move(shape), dtype);
  GraphNode mark{"mark_tokens", linear_node->module, {x}, tokens};
  GraphNode layer{"fused_linear",
                  linear_node->module,
                  {tokens, add_like(graph, marked, weight), linear_node->inputs[2], no_value},
                  node.output,
                  {{"gelu", std::int64_t{0}}}};
  const auto place = &node - graph.nodes.data();
  graph.nodes[static_cast<std::size_t>(place)] = std::move(layer);
  graph.nodes.insert(graph.nodes.begin() + place, std::move(mark));
  return true;
}

/// The linear layer whose result a node reads, perhaps after adding a constant.
struct Source {
  const GraphNode* layer;
  ValueId added;  ///< no_value if nothing is added
};

std::optional<Source> source_of(const Graph& graph, const GraphUses& uses, ValueId id) {
  const GraphNode* node = uses.producer(id);
  if (is_plain_linear(node)) return Source{node, no_value};
  if (!node || node->op != "add" || !graph.is_constant(node->inputs[1])) return std::nullopt;
  const GraphNode* layer = uses.producer(node->inputs[0]);
  if (!is_plain_linear(layer)) return std::nullopt;
  return Source{layer, node->inputs[1]};
}

/// Merges a linear layer into the one before it, whose input it then reads, if that input is narrower.
void join_with_source(Graph& graph, const GraphUses& uses, std::size_t place) {
  const GraphNode node = graph.nodes[place];  // a copy: nodes are inserted below
  if (!is_plain_linear(&node)) return;
  const std::optional<Source> source = source_of(graph, uses, node.inputs[0]);
  if (!source) return;
  const Tensor inner = graph.constant(source->layer->inputs[1]), outer = graph.constant(node.inputs[1]);
  if (inner.dim(1) >= inner.dim(0)) return;
  const Variable v = in_float64(outer);
  const Tensor inner_bias = graph.constant(source->layer->inputs[2]),
               outer_bias = graph.constant(node.inputs[2]);
  Variable bias;
  const std::int64_t out = outer.dim(0);
  if (inner_bias.defined()) bias = linear(reshape(in_float64(inner_bias), {1, inner.dim(0)}), v);
  if (outer_bias.defined()) {
    const Variable outer_term = reshape(in_float64(outer_bias), {1, out});
    bias = bias.defined() ? add(bias, outer_term) : outer_term;
  }
  const ValueId weight = add_like(graph, matmul(v, in_float64(inner)), outer);
  const ValueId bias_id = bias.defined() ? add_like(graph, reshape(bias, {out}), outer) : no_value;
  const ValueId x = source->layer->inputs[0];
  if (source->added == no_value) {
    graph.nodes[place].inputs = {x, weight, bias_id, no_value};
    return;
  }
  const ValueId added = add_like(graph, linear(in_float64(graph.constant(source->added)), v), outer);
  const ValueId product = graph.add_value(graph.value(node.output).shape, graph.value(node.output).dtype);
  GraphNode layer = node;
  layer.inputs = {x, weight, bias_id, no_value};
  layer.output = product;
  graph.nodes[place] = {"add", node.module, {product, added}, node.output};
  graph.nodes.insert(graph.nodes.begin() + static_cast<std::ptrdiff_t>(place), std::move(layer));
}

}  // namespace

void join_linears(Graph& graph) {
  const NoGrad no_grad;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphUses uses(graph);
    if (mark_first_row(graph, uses, graph.nodes[i])) ++i;
  }
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphUses uses(graph);
    join_with_source(graph, uses, i);
  }
  graph.remove_unused();
}

}  // namespace fer
