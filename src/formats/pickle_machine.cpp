#include "formats/pickle_machine.h"

#include <utility>

namespace fer::detail {
namespace {

// More than any checkpoint needs (a state dictionary has about ten values per tensor), and small enough to
// refuse a program that asks for gigabytes.
constexpr std::size_t most_values = std::size_t{1} << 22;
constexpr std::size_t most_work = std::size_t{1} << 26;

}  // namespace

NodeId PickleMachine::make(PickleNode node) {
  if (pickle_.nodes.size() >= most_values) fail("builds more than ", most_values, " values");
  pickle_.nodes.push_back(std::move(node));
  return static_cast<NodeId>(pickle_.nodes.size() - 1);
}

void PickleMachine::charge(std::size_t values) {
  work_ += values;
  if (work_ > most_work) fail("copies more than ", most_work, " values");
}

NodeId PickleMachine::top() const {
  if (stack_.size() <= floor()) fail("takes a value from an empty stack");
  return stack_.back();
}

void PickleMachine::push(Kind kind) {
  PickleNode made;
  made.kind = kind;
  stack_.push_back(make(std::move(made)));
}

void PickleMachine::push_integer(std::int64_t value, Kind kind) {
  push(kind);
  pickle_.nodes.back().integer = value;
}

void PickleMachine::push_real(double value) {
  push(Kind::real);
  pickle_.nodes.back().real = value;
}

void PickleMachine::push_text(std::string_view text, Kind kind) {
  push(kind);
  pickle_.nodes.back().text = text;
}

void PickleMachine::push_children(Kind kind, std::vector<NodeId> children) {
  if (kind == Kind::dict && children.size() % 2 != 0) fail("has a dictionary key without a value");
  push(kind);
  pickle_.nodes.back().children = std::move(children);
}

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  PickleNode global = find_global(module, name);
  const bool recorded = global.global == Global::inert || global.global == Global::unread_tensor ||
                        global.global >= Global::numpy_array;
  if (recorded) record_inert(global.text);
  stack_.push_back(make(std::move(global)));
}

void PickleMachine::push_global_from_stack() {
  const std::vector<NodeId> names = pop(2);
  // Copies: making the global's node may move the nodes that hold the names.
  const std::string module = text(names[0], "a module's name"), name = text(names[1], "a global's name");
  push_global(module, name);
}

void PickleMachine::pop() {
  if (!marks_.empty() && stack_.size() == marks_.back()) {
    marks_.pop_back();  // as in Python, where a mark is on the stack, too
    return;
  }
  top();
  stack_.pop_back();
}

std::vector<NodeId> PickleMachine::pop(std::size_t count) {
  if (stack_.size() - floor() < count) fail("takes a value from an empty stack");
  std::vector<NodeId> popped(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return popped;
}

std::vector<NodeId> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("gathers values without a mark");
  const std::size_t count = stack_.size() - marks_.back();
  std::vector<NodeId> popped = pop(count);
  marks_.pop_back();
  return popped;
}

void PickleMachine::extend(Kind kind, const std::vector<NodeId>& children) {
  if (kind == Kind::dict && children.size() % 2 != 0) fail("has a dictionary key without a value");
  const NodeId id = top();
  std::vector<NodeId>* target = nullptr;
  if (node(id).kind == kind) target = &pickle_.nodes[id].children;
  if (node(id).kind == Kind::object) target = kind == Kind::dict ? &object(id).items : &object(id).elements;
  if (!target) fail("adds items to something that is not a ", kind == Kind::dict ? "dictionary" : "list");
  target->insert(target->end(), children.begin(), children.end());
}

void PickleMachine::add_to_set() {
  extend(Kind::list, pop_to_mark());
}

void PickleMachine::memoize(std::uint64_t index) {
  memo_[index] = top();
}

void PickleMachine::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) fail("recalls value ", index, ", which it never stored,");
  stack_.push_back(found->second);
}

Pickle PickleMachine::finish(std::size_t length) {
  if (!marks_.empty() || stack_.size() != 1) fail("ends with ", stack_.size(), " values instead of one");
  pickle_.root = stack_.back();
  pickle_.length = length;
  return std::move(pickle_);
}

}  // namespace fer::detail
