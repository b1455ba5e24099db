// The calls that a pickle may make: rebuilding tensors, and containers. Any other call is recorded but not
// made (pickle_objects.cpp).
#include "formats/pickle_machine.h"

namespace fer::detail {

using Kind = PickleNode::Kind;

void PickleMachine::reduce() {
  const std::vector<NodeId> operands = pop(2);
  const NodeId callable = operands[0], arguments = operands[1];
  if (!is_callable(callable)) fail("calls something that is not a function");
  if (node(arguments).kind != Kind::tuple)
    fail("calls ", printable(pickle_.name(callable)), " without a tuple of arguments");
  charge(node(arguments).children.size());
  const std::vector<NodeId> values =
      node(arguments).children;  // a copy: a call makes nodes, which may move the array
  stack_.push_back(apply(callable, values));
}

NodeId PickleMachine::apply(NodeId callable, const std::vector<NodeId>& arguments) {
  if (node(callable).kind != Kind::global) return make_object(callable, arguments);
  switch (node(callable).global) {
    case Global::rebuild_tensor:
    case Global::rebuild_tensor_v2:
    case Global::rebuild_tensor_v3:
      return rebuild_tensor(callable, arguments);
    case Global::rebuild_parameter: {
      const Kind kind = arguments.empty() ? Kind::none : node(arguments[0]).kind;
      if (kind == Kind::tensor || kind == Kind::unread || kind == Kind::object) return arguments[0];
      fail("calls ", pickle_.name(callable), " without a tensor");
    }
    case Global::rebuild_from_type: {
      const bool fits =
          arguments.size() == 4 && is_callable(arguments[0]) && node(arguments[2]).kind == Kind::tuple;
      if (!fits)
        fail("calls ", pickle_.name(callable), " without a function, a class, arguments and a state");
      // Only functions that rebuild a tensor are allowed, so calls cannot nest.
      const Global function = node(arguments[0]).global;
      const bool tensor = node(arguments[0]).kind == Kind::global && function >= Global::rebuild_tensor &&
                          function <= Global::rebuild_parameter;
      if (!tensor) return make_object(arguments[1], arguments);
      charge(node(arguments[2]).children.size());
      const std::vector<NodeId> values = node(arguments[2]).children;
      return apply(arguments[0], values);
    }
    case Global::unread_tensor:
      return make_unread(unread_reason(pickle_.name(callable)));
    case Global::ordered_dict:
      return make_dict(arguments);
    case Global::default_dict:
      return make_dict({});
    case Global::sequence:
      return make_sequence(callable, arguments);
    case Global::bytes:
      return make_bytes(callable, arguments);
    case Global::encode:
      return encode(callable, arguments);
    case Global::size: {
      if (arguments.size() != 1) fail("calls torch.Size with ", arguments.size(), " arguments");
      integers(arguments[0], "torch.Size");
      return arguments[0];
    }
    case Global::new_object:
      if (arguments.empty() || !is_callable(arguments[0])) return make_object(callable, arguments);
      return new_object(arguments[0], {arguments.begin() + 1, arguments.end()});
    case Global::numpy_buffer:
      if (const auto array = numpy_buffer(arguments)) return *array;
      return make_object(callable, arguments);
    case Global::numpy_scalar:
      if (const auto number = numpy_scalar(arguments)) return *number;
      return make_object(callable, arguments);
    case Global::dtype:
      fail("calls ", pickle_.name(callable), ", which is not a function,");
    default:
      return make_object(callable, arguments);
  }
}

NodeId PickleMachine::make_dict(const std::vector<NodeId>& arguments) {
  PickleNode dict;
  dict.kind = Kind::dict;
  if (arguments.size() > 1) fail("calls OrderedDict with ", arguments.size(), " arguments");
  if (arguments.size() == 1) {  // Python 2 wrote OrderedDict([[key, value], ...])
    const PickleNode& pairs = node(arguments[0]);
    if (pairs.kind != Kind::list && pairs.kind != Kind::tuple)
      fail("calls OrderedDict without a list of pairs");
    charge(pairs.children.size());
    for (const NodeId pair : pairs.children) {
      const PickleNode& item = node(pair);
      const bool sequence = item.kind == Kind::list || item.kind == Kind::tuple;
      if (!sequence || item.children.size() != 2) fail("calls OrderedDict without a list of pairs");
      dict.children.insert(dict.children.end(), item.children.begin(), item.children.end());
    }
  }
  return make(std::move(dict));
}

/// list, tuple, set and frozenset of a sequence become a sequence; a set is a list here.
NodeId PickleMachine::make_sequence(NodeId callable, const std::vector<NodeId>& arguments) {
  PickleNode made;
  const std::string& type = pickle_.name(callable);
  const bool fixed = type.ends_with("tuple") || type.ends_with("frozenset");
  made.kind = fixed ? Kind::tuple : Kind::list;
  if (!arguments.empty()) {
    const PickleNode& source = node(arguments[0]);
    if (arguments.size() > 1 || (source.kind != Kind::list && source.kind != Kind::tuple)) {
      return make_object(callable, arguments);
    }
    charge(source.children.size());
    made.children = source.children;
  }
  return make(std::move(made));
}

/// bytes(), bytearray(bytes), and Python 2's bytearray(text, 'latin-1').
NodeId PickleMachine::make_bytes(NodeId callable, const std::vector<NodeId>& arguments) {
  if (arguments.size() == 2) return encode(callable, arguments);
  const bool fits = arguments.empty() || (arguments.size() == 1 && node(arguments[0]).kind == Kind::bytes);
  if (!fits) return make_object(callable, arguments);
  if (!arguments.empty()) return arguments[0];
  PickleNode made;
  made.kind = Kind::bytes;
  return make(std::move(made));
}

/// The text's code points as bytes, if all are below 256.
NodeId PickleMachine::encode(NodeId callable, const std::vector<NodeId>& arguments) {
  const bool fits = arguments.size() == 2 && node(arguments[0]).kind == Kind::text &&
                    (node(arguments[1]).text == "latin1" || node(arguments[1]).text == "latin-1");
  if (!fits) return make_object(callable, arguments);
  const std::string& text = node(arguments[0]).text;
  charge(text.size() / 64);
  PickleNode made;
  made.kind = Kind::bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      made.text += text[i];
    } else if ((first == 0xC2 || first == 0xC3) && i + 1 < text.size()) {
      const auto second = static_cast<unsigned char>(text[++i]);
      made.text += static_cast<char>((first & 3) << 6 | (second & 0x3F));
    } else {
      return make_object(callable, arguments);
    }
  }
  return make(std::move(made));
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
