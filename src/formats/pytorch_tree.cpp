#include "formats/pytorch_tree.h"

#include <algorithm>
#include <unordered_set>
#include <utility>
#include <vector>

#include "fer/error.h"
#include "formats/pytorch_tensor.h"

namespace fer::detail {
namespace {

using Kind = PickleNode::Kind;

// References can make a small pickle a large tree (a list of ten lists of ten lists ...), or one without end.
// In a real checkpoint a value takes some bytes of its pickle, and few are referred to often.
constexpr std::size_t most_levels = 64;
std::size_t most_values(const Pickle& pickle) {
  return std::min((std::size_t{1} << 16) + 16 * pickle.length, std::size_t{1} << 22);
}

class TreeBuilder {
 public:
  TreeBuilder(const Pickle& pickle, StorageSource& source, const std::string& what, std::uint64_t file_bytes)
      : pickle_(pickle),
        what_(what),
        tensors_(pickle, source, file_bytes),
        most_values_(most_values(pickle)) {}

  PyValue build(NodeId id) {
    require<FormatError>(++values_ <= most_values_, what_, ": more than ", most_values_, " values");
    require<FormatError>(path_.size() < most_levels, what_, ": values nest deeper than ", most_levels,
                         " levels");
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
      case Kind::global:  // a dtype or a class that is kept as a value: its name
        return PyValue::text(copied(node.text));
      case Kind::bytes:
        return PyValue::bytes(copied(node.text));
      case Kind::list:
        return PyValue::list(elements(node));
      case Kind::tuple:
        return PyValue::tuple(elements(node));
      case Kind::dict:
        return PyValue::dict(items(node));
      case Kind::tensor: {
        const auto index = static_cast<std::size_t>(node.integer);
        return PyValue::tensor(
            tensors_.load(pickle_.tensors[index], concat(what_, ": tensor '", path(), "'")));
      }
      case Kind::storage:
        break;
    }
    throw FormatError(concat(what_, ": '", path(), "' is a bare storage, not a tensor"));
  }

 private:
  /// A text that is referred to often is copied often; what copies take is bounded like the values.
  const std::string& copied(const std::string& text) {
    values_ += text.size() / 64;
    return text;
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

  std::vector<PyItem> items(const PickleNode& node) {
    std::vector<PyItem> built;
    std::unordered_set<std::string> seen;
    for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
      path_.push_back(component(pickle_.node(node.children[i])));
      PyValue key = build(node.children[i]);
      const bool fresh = !key.is(PyValue::Kind::text) || seen.insert(key.as_text()).second;
      require<FormatError>(fresh, what_, ": the key '", path(), "' occurs twice");
      built.push_back({std::move(key), build(node.children[i + 1])});
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
  std::size_t most_values_, values_ = 0;
};

}  // namespace

PyValue build_tree(const Pickle& pickle, StorageSource& source, const std::string& what,
                   std::uint64_t file_bytes) {
  return TreeBuilder(pickle, source, what, file_bytes).build(pickle.root);
}

}  // namespace fer::detail
