// Graph: the operations of a function of tensors, as data. Passes (passes.h) change it, an Executor runs it,
// and it can be written as ONNX.
//
//   fer::Graph graph = fer::trace([&](const auto& in) { return std::vector{model(in[0])}; }, {like});
//   std::cout << graph.text();
//
// Nodes are in an order in which they can run. A value is an input of the graph, a constant (a weight, or
// computed from weights by a pass), or the output of one node. Extents may grow with the number of images, so
// one graph serves every batch size.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fer/autograd/function.h"
#include "fer/tensor/tensor.h"

namespace fer {

/// per_image * N + fixed, for a batch of N images.
struct Extent {
  std::int64_t per_image = 0, fixed = 0;
  std::int64_t of(std::int64_t images) const { return per_image * images + fixed; }
  bool operator==(const Extent&) const = default;
};

/// Index into Graph::values.
using ValueId = int;
inline constexpr ValueId no_value = -1;  ///< an optional input that was left out

struct GraphValue {
  std::vector<Extent> shape;
  DType dtype = DType::float32;
  Tensor constant{};   ///< defined: the value is known
  std::string name{};  ///< a parameter's path in the model

  bool is_constant() const { return constant.defined(); }
  Shape at(std::int64_t images) const;
  /// The last extent; ShapeError if it grows with the batch.
  std::int64_t channels() const;
};

using GraphAttribute =
    std::variant<std::int64_t, double, std::vector<int>, Tensor, std::shared_ptr<Function>>;

struct GraphNode {
  std::string op;      ///< as in record(): "conv2d"
  std::string module;  ///< path of the module that ran it
  std::vector<ValueId> inputs;
  ValueId output = no_value;
  std::map<std::string, GraphAttribute, std::less<>> attributes{};

  /// The attribute of that name and type; throws GraphError, naming the node, if there is none.
  template <typename T>
  const T& attribute(std::string_view name) const;
  int integer(std::string_view name) const { return static_cast<int>(attribute<std::int64_t>(name)); }
  double number(std::string_view name) const { return attribute<double>(name); }
  /// "conv2d (image_backbone.body.0.res_layer.1)", for messages.
  std::string described() const;
};

/// A variable or running statistic whose value became a constant of the graph.
struct GraphSource {
  Variable variable{};  ///< undefined for a statistic
  Tensor tensor{};      ///< its value when the graph was traced
  std::uint64_t version = 0;
};

class Graph {
 public:
  std::vector<GraphValue> values;
  std::vector<GraphNode> nodes;
  std::vector<ValueId> inputs, outputs;
  std::vector<GraphSource> sources;

  /// Whether all sources still have the values, type and device that they had when the graph was traced.
  bool is_current() const;

  GraphValue& value(ValueId id) { return values.at(static_cast<std::size_t>(id)); }
  const GraphValue& value(ValueId id) const { return values.at(static_cast<std::size_t>(id)); }
  /// The constant of a value, or an undefined tensor for no_value. GraphError if the value is not constant.
  Tensor constant(ValueId id) const;
  bool is_constant(ValueId id) const { return id != no_value && value(id).is_constant(); }

  ValueId add_constant(Tensor constant, std::string name = {});
  ValueId add_value(std::vector<Extent> shape, DType dtype);

  /// Makes every reader of `from` read `to` instead, including the graph's outputs.
  void replace_uses(ValueId from, ValueId to);
  /// Removes nodes whose output is unused, and unused constants.
  void remove_unused();
  /// One line per node, for display and tests.
  std::string text() const;
};

/// The producer and the readers of each value; valid until the graph is changed.
class GraphUses {
 public:
  explicit GraphUses(const Graph& graph);
  /// The node that produces a value; null for an input or a constant.
  const GraphNode* producer(ValueId id) const;
  int producer_index(ValueId id) const { return producers_.at(static_cast<std::size_t>(id)); }
  /// Indices of the nodes that read a value; a node that reads it twice is listed twice.
  const std::vector<int>& readers(ValueId id) const { return readers_.at(static_cast<std::size_t>(id)); }
  bool is_output(ValueId id) const { return is_output_.at(static_cast<std::size_t>(id)); }
  /// Whether exactly one node reads the value, and the graph does not return it.
  bool read_once(ValueId id) const { return readers(id).size() == 1 && !is_output(id); }

 private:
  const Graph& graph_;
  std::vector<int> producers_;
  std::vector<std::vector<int>> readers_;
  std::vector<bool> is_output_;
};

}  // namespace fer
