// Draws the tape: boxes for operations, rounded blue boxes for leaves, plain rounded ones for constants.
// Boxes are numbered in the order of the walk, so the same graph gives the same text.
#include <unordered_map>

#include "fer/autograd/variable.h"

namespace fer {
namespace {

std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

class GraphWriter {
 public:
  std::string draw(const Variable& output) {
    dot_ << "digraph tape {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\"];\n";
    if (output.node()) {
      operation(output.node());
    } else {
      leaf(output);
    }
    while (!open_.empty()) {
      const std::shared_ptr<Node> node = open_.back();
      open_.pop_back();
      const int to = numbers_.at(node.get());
      for (const Edge& edge : node->inputs) {
        if (!edge.given) continue;
        const int from = source(edge);  // first, because it draws the box where the arrow starts
        dot_ << "  n" << from << " -> n" << to << " [label=\"" << edge.shape << "\"];\n";
      }
    }
    dot_ << "}\n";
    return dot_.str();
  }

 private:
  /// The number of the box where an edge starts. Draws the box on first use.
  int source(const Edge& edge) {
    if (edge.node) return operation(edge.node);
    if (edge.leaf.defined()) return leaf(edge.leaf);
    dot_ << "  n" << count_ << " [label=\"constant\\n" << edge.shape << "\", style=rounded];\n";
    return count_++;
  }

  int operation(const std::shared_ptr<Node>& node) {
    const auto [entry, is_new] = numbers_.try_emplace(node.get(), count_);
    if (is_new) {
      dot_ << "  n" << count_++ << " [label=\"" << escaped(node->name)
           << (node->module.empty() ? "" : "\\n" + escaped(node->module)) << "\"];\n";
      open_.push_back(node);
    }
    return entry->second;
  }

  int leaf(const Variable& variable) {
    const auto [entry, is_new] = numbers_.try_emplace(variable.id(), count_);
    if (is_new) {
      const std::string name = variable.name().empty() ? "leaf" : escaped(variable.name());
      dot_ << "  n" << count_++ << " [label=\"" << name << "\\n"
           << variable.shape() << "\", style=rounded, color=blue];\n";
    }
    return entry->second;
  }

  std::ostringstream dot_;
  std::unordered_map<const void*, int> numbers_;
  std::vector<std::shared_ptr<Node>> open_;
  int count_ = 0;
};

}  // namespace

std::string graph_dot(const Variable& output) {
  return GraphWriter().draw(output);
}

}  // namespace fer
