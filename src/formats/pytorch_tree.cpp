#include "formats/pytorch_tree.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fer/error.h"
#include "formats/pytorch_module.h"
#include "formats/pytorch_tensor.h"

namespace fer::detail {
namespace {

using Kind = PickleNode::Kind;

// References can turn a small pickle into a large tree (a list of ten lists of ten lists ...), or an infinite
// one. In a real checkpoint each value takes some bytes of its pickle, and few values are referred to often.
constexpr std::size_t most_levels = 256;
std::size_t most_tree_values(const Pickle& pickle) {
  return std::min((std::size_t{1} << 16) + 16 * pickle.length, std::size_t{1} << 22);
}

class TreeBuilder {
 public:
  TreeBuilder(const Pickle& pickle, StorageSource& source, const std::string& what, std::uint64_t file_bytes)
      : pickle_(pickle),
        what_(what),
        tensors_(pickle, source, file_bytes),
        most_values_(most_tree_values(pickle)),
        being_built_(pickle.nodes.size()) {}

  PyValue build(NodeId id) {
    count(1);
    const PickleNode& node = pickle_.node(id);
    switch (node.kind) {
      case Kind::none:
        return {};
      case Kind::boolean:
        return PyValue::boolean(node.integer != 0);
      case Kind::integer:
        return PyValue::integer(node.integer);
      case Kind::big_integer:
        return PyValue::big_integer(node.text);
      case Kind::real:
        return PyValue::real(node.real);
      case Kind::text:
        return PyValue::text(copied(node.text));
      case Kind::bytes:
        return PyValue::bytes(copied(node.text));
      case Kind::tensor:
        return PyValue::tensor(
            tensors_.load(static_cast<std::size_t>(node.integer), concat(what_, ": tensor '", path(), "'")));
      case Kind::storage:
        return stand_in("", "a storage without a tensor");
      case Kind::unread:
        return stand_in("", node.text);
      case Kind::global:  // a class or function stored as a value; a dtype becomes its name
        if (node.global == Global::dtype) return PyValue::text(node.text);
        return inert(id);
      default:
        return container(id);
    }
  }

  std::vector<std::string> widened() const { return tensors_.widened(); }

 private:
  void count(std::size_t values) {
    values_ += values;
    require<FormatError>(values_ <= most_values_, what_, ": more than ", most_values_, " values");
  }

  /// A text with many references is copied many times, so copies are bounded like values.
  const std::string& copied(const std::string& text) {
    count(text.size() / 64);
    return text;
  }

  PyValue stand_in(std::string type, std::string description) {
    return PyValue::object(std::make_shared<PyObject>(PyObject{std::move(type), std::move(description), {}}));
  }
  PyValue inert(NodeId id) {
    const std::string name = printable(pickle_.name(id));
    return stand_in(name, "an inert " + name);
  }

  /// A value that contains itself is cut off where it would repeat. Such values are common: objects often
  /// refer to their owner.
  PyValue container(NodeId id) {
    const PickleNode& node = pickle_.node(id);
    const bool is_object = node.kind == Kind::object;
    if (const auto known = objects_.find(id); known != objects_.end()) return PyValue::object(known->second);
    if (being_built_[id]) return is_object ? inert(id) : stand_in("", "a value that contains itself");
    if (path_.size() >= most_levels) {
      require<FormatError>(objects_around_ > 0, what_, ": values nest deeper than ", most_levels, " levels");
      return stand_in("", "a value too deep within objects");
    }
    being_built_[id] = true;
    objects_around_ += is_object;
    PyValue built = is_object                  ? object(id)
                    : node.kind == Kind::list  ? PyValue::list(elements(node))
                    : node.kind == Kind::tuple ? PyValue::tuple(elements(node))
                                               : PyValue::dict(items(node.children));
    objects_around_ -= is_object;
    being_built_[id] = false;
    return built;
  }

  PyValue object(NodeId id) {
    auto made = std::make_shared<PyObject>();
    made->type = printable(pickle_.name(id));
    made->description = "an inert " + made->type;
    count(made->type.size() / 64);
    const ModuleWalk walk(pickle_, [this](std::size_t values) { count(values); });
    if (walk.is_module(id)) {
      made->is_module = true;
      made->description = "a pickled module of class " + made->type;
      for (const auto& [name, value] : walk.state_of(id)) {
        path_.push_back(name);
        made->items.push_back({PyValue::text(copied(name)), build(value)});
        path_.pop_back();
      }
    } else {
      made->items = attributes(pickle_.object(pickle_.node(id)));
    }
    objects_.emplace(id, made);
    return PyValue::object(std::move(made));
  }

  /// The arguments and elements of `object`, its items, and the contents of the dictionaries in its state.
  std::vector<PyItem> attributes(const ObjectRef& object) {
    std::vector<PyItem> built;
    for (std::size_t i = 0; i < object.elements.size(); ++i) {
      path_.push_back(std::to_string(i));
      built.push_back({PyValue::integer(static_cast<std::int64_t>(i)), build(object.elements[i])});
      path_.pop_back();
    }
    const auto add = [&](const std::vector<NodeId>& pairs) {
      for (PyItem& item : items(pairs)) built.push_back(std::move(item));
    };
    add(object.items);
    for (const NodeId state : object.states) {
      const PickleNode& node = pickle_.node(state);
      if (node.kind == Kind::dict) {
        add(node.children);
      } else if (node.kind == Kind::tuple) {  // (attributes, slots), or any argument of __setstate__
        for (const NodeId part : node.children) {
          if (pickle_.node(part).kind == Kind::dict) add(pickle_.node(part).children);
        }
      }
    }
    return built;
  }

  std::vector<PyValue> elements(const PickleNode& node) {
    std::vector<PyValue> built;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      path_.push_back(std::to_string(i));
      built.push_back(build(node.children[i]));
      path_.pop_back();
    }
    return built;
  }

  std::vector<PyItem> items(const std::vector<NodeId>& pairs) {
    std::vector<PyItem> built;
    std::unordered_set<std::string> seen;
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      path_.push_back(component(pickle_.node(pairs[i])));
      PyValue key = build(pairs[i]);
      const bool fresh = !key.is(PyValue::Kind::text) || seen.insert(key.as_text()).second;
      require<FormatError>(fresh, what_, ": the key '", path(), "' occurs twice");
      built.push_back({std::move(key), build(pairs[i + 1])});
      path_.pop_back();
    }
    return built;
  }

  static std::string component(const PickleNode& key) {
    if (key.kind == Kind::text) return key.text.substr(0, 256);
    if (key.kind == Kind::integer) return std::to_string(key.integer);
    return "?";
  }

  std::string path() const {
    std::string joined;
    for (const std::string& part : path_) {
      if (!joined.empty()) joined += '.';
      joined += part;
    }
    return joined;
  }

  const Pickle& pickle_;
  const std::string& what_;
  TensorLoader tensors_;
  std::vector<std::string> path_;
  std::size_t most_values_, values_ = 0, objects_around_ = 0;
  std::vector<bool> being_built_;
  std::unordered_map<NodeId, std::shared_ptr<const PyObject>> objects_;
};

}  // namespace

PytorchFile build_tree(const Pickle& pickle, StorageSource& source, const std::string& what,
                       std::uint64_t file_bytes) {
  TreeBuilder builder(pickle, source, what, file_bytes);
  PytorchFile file;
  file.root = builder.build(pickle.root);
  file.widened = builder.widened();
  for (const std::string& name : pickle.inert) file.inert.push_back(printable(name));
  return file;
}

}  // namespace fer::detail
