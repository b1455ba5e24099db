#include "formats/pytorch_module.h"

#include <unordered_set>

namespace fer::detail {
namespace {

using Kind = PickleNode::Kind;

// Deeper than any network. A module that contains itself is cut off here.
constexpr std::size_t deepest_module = 64;

}  // namespace

/// The children of the attribute `name`, a dictionary or a list; null if the object has none.
const std::vector<NodeId>* ModuleWalk::attribute(NodeId id, std::string_view name) const {
  if (pickle_.node(id).kind != Kind::object) return nullptr;
  for (const NodeId state : pickle_.object(pickle_.node(id)).states) {
    const PickleNode& attributes = pickle_.node(state);
    if (attributes.kind != Kind::dict) continue;
    count_(attributes.children.size() / 32);
    for (std::size_t i = 0; i + 1 < attributes.children.size(); i += 2) {
      const PickleNode& key = pickle_.node(attributes.children[i]);
      if (key.kind != Kind::text || key.text != name) continue;
      const PickleNode& value = pickle_.node(attributes.children[i + 1]);
      return value.kind == Kind::object ? &pickle_.object(value).items : &value.children;
    }
  }
  return nullptr;
}

bool ModuleWalk::is_module(NodeId id) const {
  return attribute(id, "_parameters") && attribute(id, "_buffers") && attribute(id, "_modules");
}

std::vector<std::pair<std::string, NodeId>> ModuleWalk::state_of(NodeId module) const {
  std::vector<std::pair<std::string, NodeId>> state;
  walk(module, "", 0, state);
  return state;
}

void ModuleWalk::walk(NodeId module, const std::string& prefix, std::size_t depth,
                      std::vector<std::pair<std::string, NodeId>>& state) const {
  const auto each = [&](std::string_view table, const auto& take) {
    const std::vector<NodeId>& pairs = *attribute(module, table);
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      const PickleNode& name = pickle_.node(pairs[i]);
      if (name.kind != Kind::text || pickle_.node(pairs[i + 1]).kind == Kind::none) continue;
      count_(1 + (prefix.size() + name.text.size()) / 64);
      take(name.text, pairs[i + 1]);
    }
  };
  const auto add = [&](const std::string& name, NodeId value) { state.emplace_back(prefix + name, value); };
  each("_parameters", add);
  std::unordered_set<std::string> not_persistent;  // modules of early versions lack this set
  if (const std::vector<NodeId>* names = attribute(module, "_non_persistent_buffers_set")) {
    for (const NodeId name : *names) not_persistent.insert(pickle_.node(name).text);
    count_(names->size());
  }
  each("_buffers", [&](const std::string& name, NodeId value) {
    if (!not_persistent.contains(name)) add(name, value);
  });
  each("_modules", [&](const std::string& name, NodeId value) {
    if (!is_module(value) || depth == deepest_module) return add(name, value);
    walk(value, prefix + name + ".", depth + 1, state);
  });
}

}  // namespace fer::detail
