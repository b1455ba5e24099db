// Folds norms into products, in float64.
// - A norm y = a z + b behind z = W x + c:  y = (a W) x + (a c + b).
// - A norm in front:  W (a x + b) + c = (W a) x + (c + W b). The padding was 0 behind the norm, so the folded
//   convolution pads x with -b / a.
#include <cmath>
#include <optional>

#include "fer/error.h"
#include "fer/graph/passes.h"
#include "graph/constants.h"

namespace fer {
namespace {

/// y = scale x + shift, per channel.
struct Affine {
  std::vector<double> scale, shift;

  /// Appends `next`: this becomes next(this(x)).
  void then(const Affine& next) {
    for (std::size_t c = 0; c < scale.size(); ++c) {
      scale[c] *= next.scale[c];
      shift[c] = shift[c] * next.scale[c] + next.shift[c];
    }
  }
};

Affine affine_of_norm(const Graph& graph, const GraphNode& node) {
  Affine affine{doubles_of(graph.constant(node.inputs.at(1))), doubles_of(graph.constant(node.inputs.at(2)))};
  const std::vector<double> mean = doubles_of(node.attribute<Tensor>("running_mean")),
                            var = doubles_of(node.attribute<Tensor>("running_var"));
  for (std::size_t c = 0; c < mean.size(); ++c) {
    affine.scale[c] /= std::sqrt(var[c] + node.number("eps"));
    affine.shift[c] -= mean[c] * affine.scale[c];
  }
  return affine;
}

/// The values of a constant with one number per channel, or one for all channels; empty otherwise.
std::optional<std::vector<double>> by_channel(const Graph& graph, ValueId id, std::int64_t channels) {
  const Tensor constant = graph.constant(id);
  const bool one_each = constant.rank() >= 1 && constant.numel() == channels && constant.dim(-1) == channels;
  if (constant.numel() != 1 && !one_each) return std::nullopt;
  std::vector<double> values = doubles_of(constant);
  values.resize(static_cast<std::size_t>(channels), values.front());
  return values;
}

/// A product or sum of x with a constant per channel.
std::optional<Affine> affine_of_constant(const Graph& graph, const GraphNode& node, ValueId x,
                                         ValueId other) {
  const GraphValue& result = graph.value(node.output);
  if (!graph.is_constant(other) || graph.is_constant(x) || graph.value(x).shape != result.shape ||
      result.shape.empty() || result.shape.back().per_image != 0) {
    return std::nullopt;
  }
  const std::int64_t channels = result.channels();
  std::optional<std::vector<double>> values = by_channel(graph, other, channels);
  if (!values) return std::nullopt;
  const auto count = static_cast<std::size_t>(channels);
  if (node.op == "mul") return Affine{std::move(*values), std::vector<double>(count, 0.0)};
  return Affine{std::vector<double>(count, 1.0), std::move(*values)};
}

/// Turns norms, and sums and products with constants, into affine nodes.
void find_affines(Graph& graph) {
  for (GraphNode& node : graph.nodes) {
    std::optional<Affine> affine;
    ValueId x = node.inputs.empty() ? no_value : node.inputs[0];
    if (node.op == "batch_norm_eval") {
      affine = affine_of_norm(graph, node);
    } else if (node.op == "mul" || node.op == "add") {
      affine = affine_of_constant(graph, node, node.inputs[0], node.inputs[1]);
      if (!affine) {
        x = node.inputs[1];
        affine = affine_of_constant(graph, node, node.inputs[1], node.inputs[0]);
      }
    }
    if (!affine) continue;
    const Shape channels{static_cast<std::int64_t>(affine->scale.size())};
    const Tensor like =
        graph.constant(node.op == "batch_norm_eval" || x == node.inputs[0] ? node.inputs[1] : node.inputs[0]);
    node.op = "affine";
    node.inputs = {x, graph.add_constant(Tensor::from<double>(channels, affine->scale)),
                   graph.add_constant(Tensor::from<double>(channels, affine->shift))};
    node.attributes = {{"like", like}};
  }
}

Affine affine_at(const Graph& graph, const GraphNode& node) {
  return {doubles_of(graph.constant(node.inputs[1])), doubles_of(graph.constant(node.inputs[2]))};
}

bool is_product(const GraphNode& node) {
  return node.op == "fused_conv2d" || node.op == "fused_linear";
}

/// Gives convolutions and linear layers with constant weights the form that has room for the folded values.
void widen_products(Graph& graph) {
  for (GraphNode& node : graph.nodes) {
    if (node.op == "conv2d" && graph.is_constant(node.inputs[1])) {
      const int groups = node.integer("groups");
      const Tensor weight = graph.constant(node.inputs[1]);
      const bool depthwise = groups == weight.dim(0) && weight.dim(3) == 1;
      if (groups != 1 && !depthwise) continue;
      node.op = "fused_conv2d";
      node.inputs.resize(6, no_value);
    } else if (node.op == "linear" && graph.is_constant(node.inputs[1])) {
      node.op = "fused_linear";
      node.inputs.resize(4, no_value);
      node.attributes["gelu"] = std::int64_t{0};
    } else if (node.op == "linear_gelu" && graph.is_constant(node.inputs[1])) {
      node.op = "fused_linear";
      node.inputs.resize(4, no_value);
      node.attributes["gelu"] = std::int64_t{1};
    }
  }
}

/// A convolution or linear layer in float64, into which norms are folded. weight: out x taps x in.
class Folded {
 public:
  Folded(Graph& graph, GraphNode& node)
      : graph_(graph), node_(node), weight_(graph.constant(node.inputs[1])) {
    out_ = static_cast<std::size_t>(weight_.dim(0));
    in_ = static_cast<std::size_t>(weight_.dim(-1));
    values_ = doubles_of(weight_);
    const Tensor bias = graph.constant(node.inputs[2]);
    bias_ = bias.defined() ? doubles_of(bias) : std::vector<double>(out_, 0.0);
  }

  void fold_behind(const Affine& affine) {
    const std::size_t row = values_.size() / out_;
    for (std::size_t o = 0; o < out_; ++o) {
      for (std::size_t i = 0; i < row; ++i) values_[o * row + i] *= affine.scale[o];
      bias_[o] = bias_[o] * affine.scale[o] + affine.shift[o];
    }
    changed_ = true;
  }

  /// Returns false and changes nothing if no padding value reproduces the zeros behind the norm.
  bool fold_in_front(const Affine& affine, Borders borders) {
    const bool convolution = node_.op == "fused_conv2d";
    const bool depthwise = convolution && node_.integer("groups") > 1;
    const bool padded = convolution && node_.integer("padding") > 0;
    if (depthwise || (padded && (borders == Borders::zeros || node_.inputs[5] != no_value))) return false;
    if (padded) {
      std::vector<double> border(in_);
      for (std::size_t i = 0; i < in_; ++i) {
        border[i] = -affine.shift[i] / affine.scale[i];
        if (!(std::abs(border[i]) < 1e18)) return false;
      }
      node_.inputs[5] = graph_.add_constant(tensor_of({static_cast<std::int64_t>(in_)}, border, weight_));
    }
    const std::size_t row = values_.size() / out_;
    for (std::size_t o = 0; o < out_; ++o) {
      for (std::size_t k = 0; k < row; ++k) {
        double& w = values_[o * row + k];
        bias_[o] += w * affine.shift[k % in_];
        w *= affine.scale[k % in_];
      }
    }
    changed_ = true;
    return true;
  }

  void store() {
    if (!changed_) return;
    node_.inputs[1] = graph_.add_constant(tensor_of(weight_.shape(), values_, weight_));
    node_.inputs[2] = graph_.add_constant(tensor_of({static_cast<std::int64_t>(out_)}, bias_, weight_));
  }

 private:
  Graph& graph_;
  GraphNode& node_;
  Tensor weight_;
  std::size_t out_ = 0, in_ = 0;
  std::vector<double> values_, bias_;
  bool changed_ = false;
};

/// Merges an affine node into a second one that is the only reader of its result.
void join_affines(Graph& graph) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    GraphNode& node = graph.nodes[i];
    if (node.op != "affine") continue;
    const GraphUses uses(graph);
    const GraphNode* previous = uses.producer(node.inputs[0]);
    if (!previous || previous->op != "affine" || !uses.read_once(node.inputs[0])) continue;
    Affine joined = affine_at(graph, *previous);
    joined.then(affine_at(graph, node));
    const Shape channels{static_cast<std::int64_t>(joined.scale.size())};
    const ValueId x = previous->inputs[0];
    node.inputs = {x, graph.add_constant(Tensor::from<double>(channels, joined.scale)),
                   graph.add_constant(Tensor::from<double>(channels, joined.shift))};
  }
}

/// Converts the remaining norms from float64 to the network's type.
void settle_affines(Graph& graph) {
  for (GraphNode& node : graph.nodes) {
    if (node.op != "affine") continue;
    const Tensor like = node.attribute<Tensor>("like");
    const DType dtype = widened(like.dtype());
    for (std::size_t i = 1; i < 3; ++i) {
      node.inputs[i] = graph.add_constant(graph.constant(node.inputs[i]).to(dtype).to(like.device()));
    }
    node.attributes.clear();
  }
}

bool has_end(const GraphNode& node) {
  return node.op == "fused_conv2d" ? node.inputs[3] != no_value || node.inputs[4] != no_value
                                   : node.inputs[3] != no_value || node.integer("gelu") != 0;
}

}  // namespace

void fold_norms(Graph& graph, Borders borders) {
  find_affines(graph);
  widen_products(graph);
  join_affines(graph);
  const GraphUses uses(graph);  // stays valid: folding only replaces outputs of norms by those of products
  std::vector<std::pair<ValueId, ValueId>> replaced;
  std::vector<bool> folded_away(graph.nodes.size(), false);  // norms folded into the product in front of them
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    if (!is_product(graph.nodes[i])) continue;
    const ValueId x = graph.nodes[i].inputs[0], y = graph.nodes[i].output;
    const GraphNode* front = uses.producer(x);
    const GraphNode* behind =
        uses.read_once(y) ? &graph.nodes[static_cast<std::size_t>(uses.readers(y)[0])] : nullptr;
    const bool already_folded = front && folded_away[static_cast<std::size_t>(uses.producer_index(x))];
    if (front && (front->op != "affine" || already_folded)) front = nullptr;
    if (behind && (behind->op != "affine" || has_end(graph.nodes[i]))) behind = nullptr;
    if (!front && !behind) continue;
    Folded folded(graph, graph.nodes[i]);
    if (front && folded.fold_in_front(affine_at(graph, *front), borders))
      graph.nodes[i].inputs[0] = front->inputs[0];
    if (behind) {
      folded.fold_behind(affine_at(graph, *behind));
      replaced.emplace_back(behind->output, y);
      folded_away[static_cast<std::size_t>(uses.readers(y)[0])] = true;
    }
    folded.store();
  }
  for (const auto& [from, to] : replaced) graph.replace_uses(from, to);
  graph.remove_unused();
  settle_affines(graph);
}

}  // namespace fer
