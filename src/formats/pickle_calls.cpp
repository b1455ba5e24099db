// What a pickle may call: the rebuilding of tensors, and the containers.
#include "formats/pickle_machine.h"

namespace fer::detail {

using Kind = PickleNode::Kind;

void PickleMachine::reduce() {
  const std::vector<NodeId> operands = pop(2);
  const NodeId callable = operands[0], arguments = operands[1];
  if (node(callable).kind != Kind::global) fail("calls what is no function");
  if (node(arguments).kind != Kind::tuple)
    fail("calls ", node(callable).text, " without a tuple of arguments");
  charge(node(arguments).children.size());
  // Copies: a call makes nodes, which may move the old ones.
  const PickleNode function = node(callable);
  const std::vector<NodeId> values = node(arguments).children;
  stack_.push_back(call(function, values));
}

NodeId PickleMachine::call(const PickleNode& callable, const std::vector<NodeId>& arguments) {
  switch (callable.global) {
    case Global::rebuild_tensor:
    case Global::rebuild_tensor_v2:
    case Global::rebuild_tensor_v3:
      return rebuild_tensor(callable, arguments);
    case Global::rebuild_parameter:
      if (arguments.empty() || node(arguments[0]).kind != Kind::tensor) {
        fail("calls ", callable.text, " without a tensor");
      }
      return arguments[0];
    case Global::ordered_dict:
      return make_dict(arguments);
    case Global::default_dict:
      return make_dict({});
    case Global::size: {
      if (arguments.size() != 1) fail("calls torch.Size with ", arguments.size(), " arguments");
      integers(arguments[0], "torch.Size");
      return arguments[0];
    }
    default:
      fail("calls ", callable.text, ", which is no function,");
  }
}

NodeId PickleMachine::make_dict(const std::vector<NodeId>& arguments) {
  PickleNode dict;
  dict.kind = Kind::dict;
  if (arguments.size() > 1) fail("calls OrderedDict with ", arguments.size(), " arguments");
  if (arguments.size() == 1) {  // Python 2 wrote OrderedDict([[key, value], ...])
    const PickleNode& pairs = node(arguments[0]);
    if (pairs.kind != Kind::list && pairs.kind != Kind::tuple)
      fail("calls OrderedDict with no list of pairs");
    charge(pairs.children.size());
    for (const NodeId pair : pairs.children) {
      const PickleNode& item = node(pair);
      const bool sequence = item.kind == Kind::list || item.kind == Kind::tuple;
      if (!sequence || item.children.size() != 2) fail("calls OrderedDict with no list of pairs");
      dict.children.insert(dict.children.end(), item.children.begin(), item.children.end());
    }
  }
  return make(std::move(dict));
}

NodeId PickleMachine::rebuild_tensor(const PickleNode& callable, const std::vector<NodeId>& arguments) {
  const std::size_t needed = callable.global == Global::rebuild_tensor      ? 4
                             : callable.global == Global::rebuild_tensor_v2 ? 6
                                                                            : 7;
  if (arguments.size() < needed) fail("calls ", callable.text, " with ", arguments.size(), " arguments");
  if (node(arguments[0]).kind != Kind::storage) fail("calls ", callable.text, " without a storage");

  TensorRef tensor;
  tensor.storage = static_cast<std::uint32_t>(node(arguments[0]).integer);
  const StorageRef& storage = pickle_.storages[tensor.storage];
  tensor.dtype = storage.dtype;
  if (callable.global == Global::rebuild_tensor_v3) {
    const PickleNode& dtype = node(arguments[6]);
    if (dtype.kind != Kind::global || dtype.global != Global::dtype)
      fail("rebuilds a tensor of no known type");
    tensor.dtype = dtype.dtype;
  }
  tensor.offset = integer(arguments[1], "a tensor's offset");
  tensor.size = integers(arguments[2], "a tensor's size");
  tensor.stride = integers(arguments[3], "a tensor's stride");
  if (tensor.size.size() != tensor.stride.size()) {
    fail("has a tensor of ", tensor.size.size(), " extents and ", tensor.stride.size(), " strides");
  }
  pickle_.tensors.push_back(std::move(tensor));

  PickleNode made;
  made.kind = Kind::tensor;
  made.integer = static_cast<std::int64_t>(pickle_.tensors.size() - 1);
  return make(std::move(made));
}

/// Attributes of dictionaries (the _metadata of a state_dict: versions of modules) and of parameters are
/// PyTorch's own business; no tensor of a model is among them.
void PickleMachine::build() {
  pop(1);
  const Kind kind = node(top()).kind;
  if (kind != Kind::dict && kind != Kind::tensor) fail("sets attributes of what is no dictionary or tensor");
}

/// ('storage', class, key, location, elements[, (view key, view offset, view elements)])
void PickleMachine::push_storage() {
  const PickleNode& id = node(pop(1)[0]);
  const std::size_t count = id.children.size();
  if (id.kind != Kind::tuple || count < 5 || count > 6) fail("refers to something other than a storage");
  if (text(id.children[0], "a persistent id's kind") != "storage") {
    fail("refers to '", node(id.children[0]).text, "', not to a storage,");
  }
  const PickleNode& type = node(id.children[1]);
  const bool untyped = type.kind == Kind::global && type.global == Global::untyped_storage;
  if (!untyped && (type.kind != Kind::global || type.global != Global::storage)) {
    fail("has a storage of no known class");
  }
  StorageRef storage;
  storage.untyped = untyped;
  storage.dtype = untyped ? DType::uint8 : type.dtype;
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

std::int64_t PickleMachine::integer(NodeId id, std::string_view role) const {
  if (node(id).kind != Kind::integer) fail("has no integer as ", role);
  return node(id).integer;
}

std::vector<std::int64_t> PickleMachine::integers(NodeId id, std::string_view role) const {
  const PickleNode& sequence = node(id);
  if (sequence.kind != Kind::tuple && sequence.kind != Kind::list) fail("has no tuple as ", role);
  if (sequence.children.size() > 64) fail("has ", sequence.children.size(), " integers as ", role);
  std::vector<std::int64_t> values;
  for (const NodeId child : sequence.children) values.push_back(integer(child, role));
  return values;
}

const std::string& PickleMachine::text(NodeId id, std::string_view role) const {
  if (node(id).kind != Kind::text) fail("has no text as ", role);
  return node(id).text;
}

}  // namespace fer::detail
