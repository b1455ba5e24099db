// Inert objects keep what the pickle says about a class or function that is not on the list. Nothing is
// imported, called or executed.
#include "formats/pickle_machine.h"

namespace fer::detail {

using Kind = PickleNode::Kind;

const std::string& Pickle::name(NodeId id) const {
  return nodes[nodes[id].kind == PickleNode::Kind::object ? object(nodes[id]).type : id].text;
}

bool PickleMachine::is_callable(NodeId id) const {
  return node(id).kind == Kind::global || node(id).kind == Kind::object;
}

void PickleMachine::record_inert(const std::string& name) {
  if (recorded_.insert(name).second) pickle_.inert.push_back(name);
}

NodeId PickleMachine::make_object(NodeId type, const std::vector<NodeId>& arguments) {
  // The result of calling an object takes that object's name.
  if (node(type).kind == Kind::object) type = object(type).type;
  if (node(type).global != Global::inert) record_inert(node(type).text);  // push_global() records the others
  PickleNode made;
  made.kind = Kind::object;
  made.integer = static_cast<std::int64_t>(pickle_.objects.size());
  pickle_.objects.push_back({type, arguments, {}, {}});
  return make(std::move(made));
}

/// class.__new__(class, *arguments): a container from the list, or an inert object.
NodeId PickleMachine::new_object(NodeId type, const std::vector<NodeId>& arguments) {
  if (node(type).kind == Kind::global) {
    const Global global = node(type).global;
    if (global == Global::ordered_dict || global == Global::default_dict) return make_dict({});
    if (global == Global::rebuild_parameter && !arguments.empty()) return apply(type, arguments);
  }
  return make_object(type, arguments);
}

void PickleMachine::instantiate(bool with_keywords) {
  std::vector<NodeId> operands = pop(with_keywords ? 3 : 2);
  if (!is_callable(operands[0])) fail("makes an object of something that is not a class");
  const PickleNode& arguments = node(operands[1]);
  if (arguments.kind != Kind::tuple) fail("makes an object without a tuple of arguments");
  charge(arguments.children.size());
  std::vector<NodeId> values = arguments.children;
  if (with_keywords) values.push_back(operands[2]);
  stack_.push_back(new_object(operands[0], values));
}

void PickleMachine::instantiate_from_mark() {
  const std::vector<NodeId> operands = pop_to_mark();
  if (operands.empty() || !is_callable(operands[0])) fail("makes an object of something that is not a class");
  stack_.push_back(apply(operands[0], {operands.begin() + 1, operands.end()}));
}

void PickleMachine::instantiate_from_mark(std::string_view module, std::string_view name) {
  const std::vector<NodeId> arguments = pop_to_mark();
  push_global(module, name);
  const NodeId type = pop(1)[0];
  stack_.push_back(apply(type, arguments));
}

void PickleMachine::push_nameless(const std::string& name) {
  push_global("", name);
  const NodeId type = pop(1)[0];
  stack_.push_back(make_object(type, {}));
}

/// Extensions are numbers that a program registers for its own classes. The file does not say which classes.
void PickleMachine::push_extension(std::uint64_t code) {
  push_global("", concat("extension ", code));
}

void PickleMachine::push_out_of_band() {
  push_nameless("a buffer outside of the pickle");
}

/// Protocol 0 writes persistent ids as text, which PyTorch itself cannot read back.
void PickleMachine::push_persistent_text(std::string_view id) {
  push_nameless(concat("persistent id ", printable(id)));
}

/// Attributes of dictionaries (the _metadata of a state_dict: versions of modules) and of parameters are
/// internal to PyTorch and hold no tensor of the model, so they are dropped. Those of an inert object are
/// kept.
void PickleMachine::build() {
  const NodeId state = pop(1)[0], target = top();
  switch (node(target).kind) {
    case Kind::dict:
    case Kind::tensor:
    case Kind::unread:
      return;
    case Kind::object: {
      const NodeId type = object(target).type;
      if (node(type).kind == Kind::global && node(type).global == Global::numpy_array) {
        // The node itself becomes the array, because the memo and others may already refer to it.
        if (const auto array = numpy_array_of_state(state)) {
          pickle_.nodes[target] = node(*array);
          return;
        }
      }
      object(target).states.push_back(state);
      return;
    }
    default:
      fail("sets attributes of something that has none");
  }
}

}  // namespace fer::detail
