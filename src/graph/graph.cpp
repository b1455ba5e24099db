#include "fer/graph/graph.h"

#include <algorithm>

#include "fer/error.h"

namespace fer {

Shape GraphValue::at(std::int64_t images) const {
  std::vector<std::int64_t> extents;
  for (const Extent& extent : shape) extents.push_back(extent.of(images));
  return Shape(extents);
}

std::int64_t GraphValue::channels() const {
  require<ShapeError>(!shape.empty() && shape.back().per_image == 0, "'", name,
                      "' has no last extent of its own");
  return shape.back().fixed;
}

template <typename T>
const T& GraphNode::attribute(std::string_view attribute_name) const {
  const auto found = attributes.find(attribute_name);
  const T* value = found == attributes.end() ? nullptr : std::get_if<T>(&found->second);
  require<GraphError>(value != nullptr, described(), " lacks the attribute '", attribute_name, "'");
  return *value;
}
template const std::int64_t& GraphNode::attribute(std::string_view) const;
template const double& GraphNode::attribute(std::string_view) const;
template const std::vector<int>& GraphNode::attribute(std::string_view) const;
template const Tensor& GraphNode::attribute(std::string_view) const;
template const std::shared_ptr<Function>& GraphNode::attribute(std::string_view) const;

std::string GraphNode::described() const {
  return module.empty() ? op : op + " (" + module + ")";
}

bool Graph::is_current() const {
  return std::all_of(sources.begin(), sources.end(), [](const GraphSource& source) {
    const Tensor& now = source.variable.defined() ? source.variable.value() : source.tensor;
    return now.shares_memory_with(source.tensor) && now.version() == source.version;
  });
}

Tensor Graph::constant(ValueId id) const {
  if (id == no_value) return {};
  require<GraphError>(is_constant(id), "value ", id, " is not a constant");
  return value(id).constant;
}

ValueId Graph::add_constant(Tensor constant, std::string name) {
  std::vector<Extent> shape;
  for (const std::int64_t extent : constant.shape()) shape.push_back({0, extent});
  const DType dtype = constant.dtype();
  values.push_back({std::move(shape), dtype, std::move(constant), std::move(name)});
  return static_cast<ValueId>(values.size()) - 1;
}

ValueId Graph::add_value(std::vector<Extent> shape, DType dtype) {
  values.push_back({std::move(shape), dtype});
  return static_cast<ValueId>(values.size()) - 1;
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (GraphNode& node : nodes) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
  std::replace(outputs.begin(), outputs.end(), from, to);
}

void Graph::remove_unused() {
  std::vector<bool> read(values.size(), false);
  for (const ValueId id : outputs) read[static_cast<std::size_t>(id)] = true;
  std::vector<GraphNode> kept;
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (!read[static_cast<std::size_t>(node->output)]) continue;
    for (const ValueId id : node->inputs) {
      if (id != no_value) read[static_cast<std::size_t>(id)] = true;
    }
    kept.push_back(std::move(*node));
  }
  nodes.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!read[i]) values[i].constant = Tensor();
  }
}

std::string Graph::text() const {
  std::ostringstream out;
  const auto shape_text = [](const GraphValue& value) {
    std::string text;
    for (const Extent& extent : value.shape) {
      if (!text.empty()) text += " x ";
      if (extent.per_image != 0) text += extent.per_image == 1 ? "N" : concat(extent.per_image, "N");
      if (extent.fixed != 0 || extent.per_image == 0) {
        text += concat(extent.per_image != 0 ? "+" : "", extent.fixed);
      }
    }
    return text.empty() ? std::string("scalar") : text;
  };
  for (const GraphNode& node : nodes) {
    out << "%" << node.output << " = " << node.op;
    for (const ValueId id : node.inputs) {
      if (id == no_value) {
        out << " -";
      } else if (is_constant(id)) {
        out << " " << (value(id).name.empty() ? "constant" : value(id).name);
      } else {
        out << " %" << id;
      }
    }
    out << "  " << shape_text(value(node.output)) << " " << value(node.output).dtype;
    if (!node.module.empty()) out << "  (" << node.module << ")";
    out << "\n";
  }
  return out.str();
}

GraphUses::GraphUses(const Graph& graph)
    : graph_(graph),
      producers_(graph.values.size(), -1),
      readers_(graph.values.size()),
      is_output_(graph.values.size(), false) {
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const GraphNode& node = graph.nodes[i];
    producers_[static_cast<std::size_t>(node.output)] = static_cast<int>(i);
    for (const ValueId id : node.inputs) {
      if (id != no_value) readers_[static_cast<std::size_t>(id)].push_back(static_cast<int>(i));
    }
  }
  for (const ValueId id : graph.outputs) is_output_[static_cast<std::size_t>(id)] = true;
}

const GraphNode* GraphUses::producer(ValueId id) const {
  const int index = id == no_value ? -1 : producer_index(id);
  return index < 0 ? nullptr : &graph_.nodes[static_cast<std::size_t>(index)];
}

}  // namespace fer
