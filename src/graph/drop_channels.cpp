// A channel is known if it has the same number at every pixel of every image. A channel is removed if each
// product that reads its map can spare it: either the product's weights for the channel are zero, or the
// channel is known and moves into the product's bias. Maps whose channels correspond (input and output of a
// PReLU, the terms of a sum) lose the same channels.
#include <algorithm>
#include <numeric>
#include <optional>
#include <set>

#include "fer/graph/passes.h"
#include "graph/constants.h"

namespace fer {
namespace {

using Known = std::vector<std::optional<double>>;
using Channels = std::vector<std::size_t>;

bool is_depthwise(const GraphNode& node) {
  return node.op == "fused_conv2d" && node.integer("groups") > 1;
}
bool is_dense(const GraphNode& node) {
  return (node.op == "fused_conv2d" && node.integer("groups") == 1) || node.op == "fused_linear";
}
/// Whether channel c of the output depends only on channel c of the inputs.
bool keeps_channels(const Graph& graph, const GraphNode& node) {
  if (node.op == "add")
    return !graph.is_constant(node.inputs[0]) && !graph.is_constant(node.inputs[1]) &&
           graph.value(node.inputs[0]).shape == graph.value(node.inputs[1]).shape;
  if (node.op == "prelu") return graph.is_constant(node.inputs[1]);
  return node.op == "relu" || node.op == "affine" || node.op == "max_pool2d" || is_depthwise(node);
}

/// The weight of a product, out x taps x in. It reads the tensor in place: most weights have nothing to
/// remove, and copying them all would take longer than the rest of the pass.
struct Weights {
  explicit Weights(const Tensor& weight) : tensor(weight.to(Device::cpu)), shape(weight.shape()) {
    if (tensor.dtype() != DType::float32) tensor = tensor.to(DType::float64);
    out = static_cast<std::size_t>(shape[0]);
    in = static_cast<std::size_t>(shape[-1]);
    taps = static_cast<std::size_t>(shape.numel()) / (out * in);
    if (tensor.dtype() == DType::float32) {
      floats = tensor.data<float>();
    } else {
      doubles = tensor.data<double>();
    }
  }

  double at(std::size_t o, std::size_t tap, std::size_t i) const {
    const std::size_t index = (o * taps + tap) * in + i;
    return floats ? static_cast<double>(floats[index]) : doubles[index];
  }
  /// The sum over the taps: the response to an input of 1 everywhere.
  double sum(std::size_t o, std::size_t i) const {
    double total = 0;
    for (std::size_t tap = 0; tap < taps; ++tap) total += at(o, tap, i);
    return total;
  }
  bool connects(std::size_t o, std::size_t i) const {
    for (std::size_t tap = 0; tap < taps; ++tap) {
      if (at(o, tap, i) != 0.0) return true;
    }
    return false;
  }
  bool reads(std::size_t i) const {
    for (std::size_t o = 0; o < out; ++o) {
      if (connects(o, i)) return true;
    }
    return false;
  }

  /// The weight with only the given rows and columns.
  Tensor selected(const Channels& rows, const Channels& columns) const {
    std::vector<double> values;
    for (const std::size_t o : rows) {
      for (std::size_t tap = 0; tap < taps; ++tap) {
        for (const std::size_t i : columns) values.push_back(at(o, tap, i));
      }
    }
    Shape selected_shape = shape;
    selected_shape.set(0, static_cast<std::int64_t>(rows.size()));
    selected_shape.set(-1, static_cast<std::int64_t>(columns.size()));
    return tensor_of(selected_shape, values, tensor);
  }

  Tensor tensor;
  Shape shape;
  std::size_t out = 0, in = 0, taps = 0;
  const float* floats = nullptr;
  const double* doubles = nullptr;
};

Channels all_of_them(std::size_t count) {
  Channels channels(count);
  std::iota(channels.begin(), channels.end(), std::size_t{0});
  return channels;
}

class ChannelPruner {
 public:
  explicit ChannelPruner(Graph& graph) : graph_(graph), uses_(graph), class_(graph.values.size()) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      if (is_dense(graph.nodes[i]) || is_depthwise(graph.nodes[i])) {
        weights_.emplace(i, Weights(graph.constant(graph.nodes[i].inputs[1])));
      }
    }
    find_classes();
    find_known();
  }

  /// Returns whether anything was removed.
  bool run() {
    bool changed = false;
    std::set<ValueId> visited;
    for (const GraphNode& node : graph_.nodes) {
      const ValueId root = root_of(node.output);
      if (visited.insert(root).second) changed = prune(root) || changed;
    }
    return changed;
  }

 private:
  ValueId root_of(ValueId id) {
    while (class_[static_cast<std::size_t>(id)] != id) id = class_[static_cast<std::size_t>(id)];
    return id;
  }

  void find_classes() {
    std::iota(class_.begin(), class_.end(), 0);
    for (const GraphNode& node : graph_.nodes) {
      if (!keeps_channels(graph_, node)) continue;
      for (std::size_t i = 0; i < (node.op == "add" ? 2U : 1U); ++i) {
        class_[static_cast<std::size_t>(root_of(node.inputs[i]))] = root_of(node.output);
      }
    }
  }

  /// The padding value of channel i of a convolution's input.
  double border(const GraphNode& node, std::size_t i) const {
    const Tensor border = node.op == "fused_conv2d" ? graph_.constant(node.inputs[5]) : Tensor();
    return border.defined() ? doubles_of(border)[i] : 0.0;
  }
  /// Whether a constant channel contributes the same to every pixel of the result.
  bool is_seamless(const GraphNode& node, std::size_t i, double value) const {
    return node.op != "fused_conv2d" || node.integer("padding") == 0 || value == border(node, i);
  }

  void find_known() {
    known_.resize(graph_.values.size());
    for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
      const GraphNode& node = graph_.nodes[n];
      Known result = known_after(n, node);
      if (!result.empty()) known_[static_cast<std::size_t>(node.output)] = std::move(result);
    }
  }

  std::optional<double> known_at(ValueId id, std::size_t c) const {
    const Known& known = known_[static_cast<std::size_t>(id)];
    return known.empty() ? std::nullopt : known[c];
  }

  Known known_after(std::size_t n, const GraphNode& node) const {
    if (weights_.contains(n)) return known_after_product(node, weights_.at(n));
    if (!keeps_channels(graph_, node)) return {};
    Known result(static_cast<std::size_t>(graph_.value(node.output).channels()));
    std::vector<double> first, second;  // one constant per channel
    if (node.op == "prelu" || node.op == "affine") first = doubles_of(graph_.constant(node.inputs[1]));
    if (node.op == "affine") second = doubles_of(graph_.constant(node.inputs[2]));
    for (std::size_t c = 0; c < result.size(); ++c) {
      const std::optional<double> x = known_at(node.inputs[0], c);
      if (!x) continue;
      if (node.op == "add") {
        if (const std::optional<double> other = known_at(node.inputs[1], c)) result[c] = *x + *other;
      } else if (node.op == "prelu") {
        result[c] = *x > 0 ? *x : first[c] * *x;
      } else if (node.op == "relu") {
        result[c] = std::max(*x, 0.0);
      } else if (node.op == "affine") {
        result[c] = first[c] * *x + second[c];
      } else {
        result[c] = x;
      }
    }
    return result;
  }

  Known known_after_product(const GraphNode& node, const Weights& w) const {
    if (node.op == "fused_linear" && node.integer("gelu") != 0) return {};
    const Tensor bias_tensor = graph_.constant(node.inputs[2]);
    const std::vector<double> bias =
        bias_tensor.defined() ? doubles_of(bias_tensor) : std::vector<double>(w.out, 0.0);
    Known result(w.out);
    for (std::size_t o = 0; o < w.out; ++o) {
      double sum = bias[o];
      bool constant = true;
      for (std::size_t i = 0; i < w.in && constant; ++i) {
        if (!w.connects(o, i)) continue;
        const std::size_t channel = is_depthwise(node) ? o : i;
        const std::optional<double> x = known_at(node.inputs[0], channel);
        constant = x && is_seamless(node, channel, *x);
        if (constant) sum += w.sum(o, i) * *x;
      }
      if (constant) result[o] = sum;
    }
    return result;
  }

  /// Whether the product `n` can do without channel c of the value that it reads.
  bool can_spare(std::size_t n, ValueId id, std::size_t c) const {
    const GraphNode& node = graph_.nodes[n];
    if (!weights_.at(n).reads(c)) return true;
    const std::optional<double> value = known_at(id, c);
    return value && is_seamless(node, c, *value);
  }

  std::vector<ValueId> members_of(ValueId root) {
    std::vector<ValueId> members;
    for (std::size_t id = 0; id < class_.size(); ++id) {
      if (root_of(static_cast<ValueId>(id)) == root) members.push_back(static_cast<ValueId>(id));
    }
    return members;
  }

  /// Whether the pass understands every node that makes or reads the members.
  bool is_open(const std::vector<ValueId>& members) const {
    return std::all_of(members.begin(), members.end(), [&](ValueId id) {
      const GraphNode* producer = uses_.producer(id);
      if (uses_.is_output(id) || !producer) return false;
      if (!is_dense(*producer) && !keeps_channels(graph_, *producer)) return false;
      if (producer->op == "fused_linear" && producer->inputs[3] != no_value) return false;
      const std::vector<int>& readers = uses_.readers(id);
      return std::all_of(readers.begin(), readers.end(), [&](int reader) {
        const GraphNode& node = graph_.nodes[static_cast<std::size_t>(reader)];
        return keeps_channels(graph_, node) || (is_dense(node) && node.inputs[0] == id);
      });
    });
  }

  bool prune(ValueId root) {
    const std::vector<ValueId> members = members_of(root);
    if (!is_open(members)) return false;
    const auto channels = static_cast<std::size_t>(graph_.value(root).channels());
    Channels kept, dropped;
    for (std::size_t c = 0; c < channels; ++c) {
      const bool spared = std::all_of(members.begin(), members.end(), [&](ValueId id) {
        const std::vector<int>& readers = uses_.readers(id);
        return std::all_of(readers.begin(), readers.end(), [&](int reader) {
          const auto n = static_cast<std::size_t>(reader);
          return !is_dense(graph_.nodes[n]) || can_spare(n, id, c);
        });
      });
      (spared ? dropped : kept).push_back(c);
    }
    if (kept.empty()) {  // a map cannot be empty
      kept.push_back(dropped.front());
      dropped.erase(dropped.begin());
    }
    if (dropped.empty()) return false;
    for (const ValueId id : members) remove(id, kept, dropped);
    return true;
  }

  ValueId selected(ValueId id, const Channels& kept) {
    const Tensor constant = graph_.constant(id);
    if (!constant.defined()) return no_value;
    const std::vector<double> all = doubles_of(constant);
    std::vector<double> values;
    for (const std::size_t c : kept) values.push_back(all[c]);
    return graph_.add_constant(tensor_of({static_cast<std::int64_t>(kept.size())}, values, constant));
  }

  void remove(ValueId id, const Channels& kept, const Channels& dropped) {
    graph_.value(id).shape.back().fixed = static_cast<std::int64_t>(kept.size());
    remove_outputs(static_cast<std::size_t>(uses_.producer_index(id)), kept);
    std::set<int> readers(uses_.readers(id).begin(), uses_.readers(id).end());
    for (const int reader : readers) {
      const auto n = static_cast<std::size_t>(reader);
      if (is_dense(graph_.nodes[n])) remove_inputs(n, id, kept, dropped);
    }
  }

  /// Removes channels from the output of node `n`.
  void remove_outputs(std::size_t n, const Channels& kept) {
    GraphNode& node = graph_.nodes[n];
    if (node.op == "prelu" || node.op == "affine") node.inputs[1] = selected(node.inputs[1], kept);
    if (node.op == "affine") node.inputs[2] = selected(node.inputs[2], kept);
    if (!weights_.contains(n)) return;
    node.inputs[2] = selected(node.inputs[2], kept);
    if (is_depthwise(node)) node.attributes["groups"] = static_cast<std::int64_t>(kept.size());
    store(n, kept, all_of_them(weights_.at(n).in));
  }

  /// Removes the weight columns of `id` in product `n`; known channels move into the bias.
  void remove_inputs(std::size_t n, ValueId id, const Channels& kept, const Channels& dropped) {
    GraphNode& node = graph_.nodes[n];
    const Weights& w = weights_.at(n);
    const Tensor like = graph_.constant(node.inputs[1]), bias_tensor = graph_.constant(node.inputs[2]);
    std::vector<double> bias =
        bias_tensor.defined() ? doubles_of(bias_tensor) : std::vector<double>(w.out, 0.0);
    for (std::size_t o = 0; o < w.out; ++o) {
      for (const std::size_t i : dropped) {
        if (w.connects(o, i)) bias[o] += w.sum(o, i) * *known_at(id, i);
      }
    }
    node.inputs[2] = graph_.add_constant(tensor_of({static_cast<std::int64_t>(w.out)}, bias, like));
    if (node.op == "fused_conv2d") node.inputs[5] = selected(node.inputs[5], kept);
    store(n, all_of_them(w.out), kept);
  }

  /// Keeps some rows and columns of a product's weight.
  void store(std::size_t n, const Channels& rows, const Channels& columns) {
    GraphNode& node = graph_.nodes[n];
    const Tensor like = graph_.constant(node.inputs[1]);
    node.inputs[1] =
        graph_.add_constant(weights_.at(n).selected(rows, columns).to(like.dtype()).to(like.device()));
    weights_.at(n) = Weights(graph_.constant(node.inputs[1]));
  }

  Graph& graph_;
  GraphUses uses_;
  std::map<std::size_t, Weights> weights_;  // of the products, by node
  std::vector<ValueId> class_;              // parents of a union-find
  std::vector<Known> known_;
};

}  // namespace

void drop_constant_channels(Graph& graph) {
  while (ChannelPruner(graph).run()) {
  }
  graph.remove_unused();
}

}  // namespace fer
