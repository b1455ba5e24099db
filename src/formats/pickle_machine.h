// The state of the pickle machine: the stack, its marks, the memo, and the nodes made so far. Every function
// checks that its operands exist; if not, it fails with the position of the operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fer/error.h"
#include "formats/pickle_vm.h"

namespace fer::detail {

class PickleMachine {
 public:
  explicit PickleMachine(const std::string& what) : what_(what) {}

  /// Sets the position of the current operation, for messages.
  void at(std::size_t position) { position_ = position; }
  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    throw FormatError(concat(what_, " ", parts..., " at byte ", position_));
  }

  void push(PickleNode::Kind kind);
  void push_integer(std::int64_t value, PickleNode::Kind kind = PickleNode::Kind::integer);
  void push_real(double value);
  void push_text(std::string_view text, PickleNode::Kind kind);
  void push_children(PickleNode::Kind kind, std::vector<NodeId> children);
  void push_global(std::string_view module, std::string_view name);
  void push_global_from_stack();

  void mark() { marks_.push_back(stack_.size()); }
  void pop();
  /// Pops `count` values above the last mark; the topmost comes last.
  std::vector<NodeId> pop(std::size_t count);
  std::vector<NodeId> pop_to_mark();
  /// Adds to the list or dict on top of the stack.
  void extend(PickleNode::Kind kind, const std::vector<NodeId>& children);

  void memoize(std::uint64_t index);
  void memoize_next() { memoize(memo_.size()); }
  void recall(std::uint64_t index);

  /// Adds the values above the last mark to the set below it, which is a list here.
  void add_to_set();
  void duplicate() { stack_.push_back(top()); }

  void reduce();                         // callable, arguments -> result
  void instantiate(bool with_keywords);  // class, arguments[, keywords] -> object
  void instantiate_from_mark();          // mark, class, arguments... -> object
  void instantiate_from_mark(std::string_view module, std::string_view name);  // mark, arguments... -> object
  void build();                                                                // object, state -> object
  void push_extension(std::uint64_t code);
  void push_out_of_band();
  void push_storage();  // persistent id -> storage
  void push_persistent_text(std::string_view id);

  /// The finished program's result. FormatError unless it is the only value left.
  Pickle finish(std::size_t length);

 private:
  using Kind = PickleNode::Kind;

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  NodeId top() const;
  const PickleNode& node(NodeId id) const { return pickle_.nodes[id]; }
  NodeId make(PickleNode node);
  /// Counts the values that an operation copies, so that a short program cannot request unlimited work.
  void charge(std::size_t values);

  // pickle_calls.cpp
  NodeId apply(NodeId callable, const std::vector<NodeId>& arguments);
  NodeId make_dict(const std::vector<NodeId>& arguments);
  NodeId make_sequence(NodeId callable, const std::vector<NodeId>& arguments);
  NodeId make_bytes(NodeId callable, const std::vector<NodeId>& arguments);
  NodeId encode(NodeId callable, const std::vector<NodeId>& arguments);
  std::vector<std::int64_t> integers(NodeId tuple, std::string_view role) const;
  std::int64_t integer(NodeId id, std::string_view role) const;
  const std::string& text(NodeId id, std::string_view role) const;

  // pickle_objects.cpp
  NodeId make_object(NodeId type, const std::vector<NodeId>& arguments);
  NodeId new_object(NodeId type, const std::vector<NodeId>& arguments);
  /// Pushes an object for something without a class or function, such as an extension.
  void push_nameless(const std::string& name);
  bool is_callable(NodeId id) const;
  ObjectRef& object(NodeId id) { return pickle_.objects[static_cast<std::size_t>(node(id).integer)]; }
  void record_inert(const std::string& name);

  // pickle_tensors.cpp
  NodeId rebuild_tensor(NodeId callable, const std::vector<NodeId>& arguments);
  bool has_entry(NodeId dictionary, std::string_view key) const;
  NodeId make_tensor(TensorRef tensor);
  NodeId make_unread(std::string reason);
  static std::string unread_reason(const std::string& function);

  // pickle_numpy.cpp
  /// The tensor of a NumPy array; none if its values cannot be read.
  std::optional<NodeId> numpy_array(NodeId dtype, NodeId shape, NodeId data, bool fortran);
  std::optional<NodeId> numpy_array_of_state(NodeId state);
  std::optional<NodeId> numpy_buffer(const std::vector<NodeId>& arguments);
  std::optional<NodeId> numpy_scalar(const std::vector<NodeId>& arguments);
  const ElementType* numpy_type(NodeId dtype) const;

  const std::string& what_;
  std::size_t position_ = 0;
  std::size_t work_ = 0;
  std::vector<NodeId> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, NodeId> memo_;
  std::unordered_set<std::string> recorded_;
  Pickle pickle_;
};

}  // namespace fer::detail
