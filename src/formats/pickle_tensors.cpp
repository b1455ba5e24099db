// Tensors and their storages, as PyTorch's functions describe them.
#include <algorithm>
#include <array>

#include "formats/pickle_machine.h"

namespace fer::detail {

using Kind = PickleNode::Kind;

NodeId PickleMachine::rebuild_tensor(NodeId callable, const std::vector<NodeId>& arguments) {
  const Global function = node(callable).global;
  const std::size_t needed = function == Global::rebuild_tensor      ? 4
                             : function == Global::rebuild_tensor_v2 ? 6
                                                                     : 7;
  if (arguments.size() < needed)
    fail("calls ", pickle_.name(callable), " with ", arguments.size(), " arguments");
  const Kind storage_kind = node(arguments[0]).kind;
  if (storage_kind == Kind::unread) return make_unread("a tensor in " + node(arguments[0]).text);
  if (storage_kind == Kind::object) return make_unread("a tensor in an unknown storage");
  if (storage_kind != Kind::storage) fail("calls ", pickle_.name(callable), " without a storage");

  // The argument of set_tensor_metadata(). "neg": the tensor's elements are the negated elements of its
  // storage.
  if (function != Global::rebuild_tensor && arguments.size() > needed && has_entry(arguments[needed], "neg"))
    return make_unread("a tensor that is the negative of its storage");

  TensorRef tensor;
  tensor.storage = static_cast<std::uint32_t>(node(arguments[0]).integer);
  const StorageRef& storage = pickle_.storages[tensor.storage];
  tensor.type = storage.type;
  if (function == Global::rebuild_tensor_v3) {
    const PickleNode& dtype = node(arguments[6]);
    if (dtype.kind != Kind::global || dtype.global != Global::dtype) {
      if (is_callable(arguments[6]))
        return make_unread("a tensor of " + printable(pickle_.name(arguments[6])));
      fail("rebuilds a tensor of an unknown type");
    }
    tensor.type = dtype.type;
  }
  if (!tensor.type) tensor.type = find_element_type("uint8");  // an untyped storage is read as bytes
  if (!tensor.type->read_as) return make_unread(concat("a tensor of ", tensor.type->name));
  tensor.offset = integer(arguments[1], "a tensor's offset");
  tensor.size = integers(arguments[2], "a tensor's size");
  tensor.stride = integers(arguments[3], "a tensor's stride");
  if (tensor.size.size() != tensor.stride.size()) {
    fail("has a tensor of ", tensor.size.size(), " extents and ", tensor.stride.size(), " strides");
  }
  return make_tensor(std::move(tensor));
}

/// Whether a dictionary has True under `key`.
bool PickleMachine::has_entry(NodeId dictionary, std::string_view key) const {
  const std::vector<NodeId>& children = node(dictionary).children;
  if (node(dictionary).kind != Kind::dict) return false;
  for (std::size_t i = 0; i + 1 < children.size(); i += 2) {
    const PickleNode &name = node(children[i]), &value = node(children[i + 1]);
    if (name.kind == Kind::text && name.text == key && value.kind == Kind::boolean && value.integer != 0)
      return true;
  }
  return false;
}

NodeId PickleMachine::make_tensor(TensorRef tensor) {
  pickle_.tensors.push_back(std::move(tensor));
  PickleNode made;
  made.kind = Kind::tensor;
  made.integer = static_cast<std::int64_t>(pickle_.tensors.size() - 1);
  return make(std::move(made));
}

NodeId PickleMachine::make_unread(std::string reason) {
  PickleNode made;
  made.kind = Kind::unread;
  made.text = std::move(reason);
  return make(std::move(made));
}

/// The kind of tensor that the function of this name rebuilds.
std::string PickleMachine::unread_reason(const std::string& function) {
  struct Reason {
    std::string_view part, text;
  };
  constexpr std::array<Reason, 7> reasons{{{"sparse", "a sparse tensor"},
                                           {"qtensor", "a quantised tensor"},
                                           {"meta", "a meta tensor, which has no values"},
                                           {"nested", "a nested tensor"},
                                           {"wrapper_subclass", "a tensor of a custom class"},
                                           {"load_from_bytes", "a storage that pickle wrote by itself"},
                                           {"", "a tensor of another device"}}};
  const auto found = std::find_if(reasons.begin(), reasons.end(), [&](const Reason& reason) {
    return function.find(reason.part) != std::string::npos;
  });
  return std::string(found->text);
}

/// ('storage', class, key, location, elements[, (view key, view offset, view elements)]), or
/// ('module', class, source file, source), in which early versions kept the source of a class.
void PickleMachine::push_storage() {
  const PickleNode& id = node(pop(1)[0]);
  const std::size_t count = id.children.size();
  if (id.kind != Kind::tuple || count < 1) return push_nameless("a persistent id");
  const PickleNode& role = node(id.children[0]);
  if (role.kind == Kind::text && role.text == "module" && count == 4) return stack_.push_back(id.children[1]);
  if (role.kind != Kind::text || role.text != "storage") {
    return push_nameless("persistent id " + printable(role.kind == Kind::text ? role.text : "of a program"));
  }
  if (count < 5 || count > 6) fail("has a storage of ", count, " entries");
  const PickleNode& type = node(id.children[1]);
  const bool untyped = type.kind == Kind::global && type.global == Global::untyped_storage;
  if (!untyped && (type.kind != Kind::global || type.global != Global::storage)) {
    if (type.kind != Kind::global) fail("has a storage of an unknown class");
    return stack_.push_back(make_unread("a storage of " + printable(type.text)));
  }
  StorageRef storage;
  storage.type = type.type;
  storage.key = text(id.children[2], "a storage's key");
  if (storage.key.size() > 256) fail("has a storage key of ", storage.key.size(), " characters");
  storage.count = integer(id.children[4], "a storage's size");
  if (storage.count < 0) fail("has a storage of ", storage.count, " elements");
  if (count == 6 && node(id.children[5]).kind != Kind::none) {
    const PickleNode& view = node(id.children[5]);
    if (view.kind != Kind::tuple || view.children.size() != 3) fail("has a malformed view of a storage");
    storage.view_offset = integer(view.children[1], "a storage view's offset");
  }
  pickle_.storages.push_back(std::move(storage));
  push_integer(static_cast<std::int64_t>(pickle_.storages.size() - 1), Kind::storage);
}

}  // namespace fer::detail
