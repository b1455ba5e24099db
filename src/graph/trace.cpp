// A Tracer writes down each call of record(). The function is traced with two and with three images: the
// difference shows how each extent grows with the batch.
#include "fer/graph/trace.h"

#include <algorithm>
#include <unordered_map>

#include "fer/autograd/profiler.h"
#include "fer/error.h"
#include "fer/tensor/backend.h"

namespace fer {
namespace {

class GraphRecorder final : public Tracer {
 public:
  explicit GraphRecorder(const std::vector<Variable>& inputs) {
    for (const Variable& input : inputs) {
      graph_.inputs.push_back(new_value(input));
    }
  }

  void on_operation(const Operation& operation, const std::vector<Variable>& inputs,
                    const Variable& output) override {
    require<GraphError>(operation.name != "batch_norm" && operation.name != "dropout", "the operation '",
                        operation.name, "' belongs to training; call eval() before tracing");
    require<GraphError>(!inputs.empty(), "the operation '", operation.name,
                        "' does not name its inputs, so it cannot be traced");
    GraphNode node{std::string(operation.name), ModuleScope::path(), {}, no_value};
    for (const Variable& input : inputs) node.inputs.push_back(id_of(input));
    for (const Attribute& attribute : operation.attributes) {
      node.attributes.emplace(attribute.name, kept(attribute));
    }
    node.output = new_value(output);
    graph_.nodes.push_back(std::move(node));
  }

  Graph finish(const std::vector<Variable>& outputs) {
    for (const Variable& output : outputs) graph_.outputs.push_back(id_of(output));
    return std::move(graph_);
  }

 private:
  /// A destroyed variable may have left its address to another one, so `alive` tells them apart.
  struct Seen {
    ValueId id;
    std::weak_ptr<const void> alive;
  };

  ValueId new_value(const Variable& variable) {
    std::vector<Extent> shape;
    for (const std::int64_t extent : variable.shape()) shape.push_back({0, extent});
    const ValueId id = graph_.add_value(std::move(shape), variable.dtype());
    ids_.insert_or_assign(variable.id(), Seen{id, variable.watch()});
    return id;
  }

  ValueId id_of(const Variable& variable) {
    if (!variable.defined()) return no_value;
    const auto found = ids_.find(variable.id());
    if (found != ids_.end() && !found->second.alive.expired()) return found->second.id;
    const ValueId id = new_value(variable);
    graph_.value(id).constant = variable.value();
    graph_.value(id).name = variable.name();
    graph_.sources.push_back({variable, variable.value(), variable.value().version()});
    return id;
  }

  GraphAttribute kept(const Attribute& attribute) {
    struct Keep {
      Graph& graph;
      GraphAttribute operator()(std::int64_t value) const { return value; }
      GraphAttribute operator()(double value) const { return value; }
      GraphAttribute operator()(std::span<const int> values) const {
        return std::vector<int>(values.begin(), values.end());
      }
      GraphAttribute operator()(const Tensor* tensor) const {
        graph.sources.push_back({{}, *tensor, tensor->version()});
        return *tensor;
      }
      GraphAttribute operator()(const std::shared_ptr<Function>* function) const { return *function; }
    };
    return std::visit(Keep{graph_}, attribute.value);
  }

  Graph graph_;
  std::unordered_map<const void*, Seen> ids_;
};

Graph trace_batch(const TensorFunction& f, const std::vector<Tensor>& like, std::int64_t images) {
  std::vector<Variable> inputs;
  for (const Tensor& tensor : like) {
    require<GraphError>(tensor.rank() >= 1, "an input of a traced function needs a dimension of images");
    Shape shape = tensor.shape();
    shape.set(0, images);
    inputs.emplace_back(Tensor::empty_like(tensor, shape));
  }
  GraphRecorder recorder(inputs);
  return recorder.finish(f(inputs));
}

bool same_values(const Tensor& a, const Tensor& b) {
  if (a.shares_memory_with(b)) return true;
  const auto numbers = [](const Tensor& t) {
    return t.to(Device::cpu).to(DType::float64).to_vector<double>();
  };
  return a.shape() == b.shape() && a.dtype() == b.dtype() && numbers(a) == numbers(b);
}

bool same_attribute(const GraphAttribute& a, const GraphAttribute& b) {
  return std::visit(
      [&b]<typename T>(const T& value) {
        const T* other = std::get_if<T>(&b);
        if (!other) return false;
        if constexpr (std::is_same_v<T, Tensor>) {
          return same_values(value, *other);
        } else if constexpr (std::is_same_v<T, std::shared_ptr<Function>>) {
          return true;  // a new object in each run; its inputs and its result are compared
        } else {
          return value == *other;
        }
      },
      a);
}

bool same_operation(const GraphNode& a, const GraphNode& b) {
  return a.op == b.op && a.inputs == b.inputs &&
         std::equal(a.attributes.begin(), a.attributes.end(), b.attributes.begin(), b.attributes.end(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && same_attribute(x.second, y.second);
                    });
}

/// Rewrites the extents of `graph`, which was traced with two images, as functions of the number of images.
void generalise(Graph& graph, const Graph& three) {
  constexpr std::string_view refusal = "the function does different things for two images and for three: ";
  require<GraphError>(graph.nodes.size() == three.nodes.size() && graph.values.size() == three.values.size(),
                      refusal, graph.nodes.size(), " and ", three.nodes.size(), " operations");
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    require<GraphError>(same_operation(graph.nodes[i], three.nodes[i]), refusal, graph.nodes[i].described(),
                        " and ", three.nodes[i].described());
  }
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    GraphValue& value = graph.values[i];
    const GraphValue& other = three.values[i];
    require<GraphError>(value.shape.size() == other.shape.size() && value.dtype == other.dtype, refusal,
                        "a value of ", value.shape.size(), " dimensions of ", value.dtype, " and of ",
                        other.shape.size(), " of ", other.dtype);
    require<GraphError>(value.is_constant() == other.is_constant() &&
                            (!value.is_constant() || same_values(value.constant, other.constant)),
                        "the function makes a constant that depends on the number of images");
    for (std::size_t d = 0; d < value.shape.size(); ++d) {
      const std::int64_t of_two = value.shape[d].fixed, of_three = other.shape[d].fixed;
      value.shape[d] = {of_three - of_two, of_two - 2 * (of_three - of_two)};
    }
  }
}

}  // namespace

Graph trace(const TensorFunction& f, const std::vector<Tensor>& like) {
  const NoGrad no_grad;
  const ShapesOnly shapes_only;
  Graph graph = trace_batch(f, like, 2);
  generalise(graph, trace_batch(f, like, 3));
  return graph;
}

}  // namespace fer
