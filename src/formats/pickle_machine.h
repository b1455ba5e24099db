// The state of the pickle machine: the stack, its marks, the memo, and the nodes made so far. Every function
// checks that what it takes is there, and fails with the position of the operation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fer/error.h"
#include "formats/pickle_vm.h"

namespace fer::detail {

class PickleMachine {
 public:
  explicit PickleMachine(const std::string& what) : what_(what) {}

  /// The position of the operation being run, for messages.
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
  /// The uppermost `count` values above the last mark, the uppermost last.
  std::vector<NodeId> pop(std::size_t count);
  std::vector<NodeId> pop_to_mark();
  /// Adds to the list or dict on top of the stack.
  void extend(PickleNode::Kind kind, const std::vector<NodeId>& children);

  void memoize(std::uint64_t index);
  void memoize_next() { memoize(memo_.size()); }
  void recall(std::uint64_t index);

  void reduce();        // callable, arguments -> result
  void build();         // object, attributes -> object
  void push_storage();  // persistent id -> storage

  /// The finished program's value, which must be the only one left.
  Pickle finish(std::size_t length);

 private:
  using Kind = PickleNode::Kind;

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  NodeId top() const;
  const PickleNode& node(NodeId id) const { return pickle_.nodes[id]; }
  NodeId make(PickleNode node);
  /// Counts values that one operation copies, so that short programs cannot ask for endless work.
  void charge(std::size_t values);

  // pickle_calls.cpp
  NodeId call(const PickleNode& callable, const std::vector<NodeId>& arguments);
  NodeId rebuild_tensor(const PickleNode& callable, const std::vector<NodeId>& arguments);
  NodeId make_dict(const std::vector<NodeId>& arguments);
  std::vector<std::int64_t> integers(NodeId tuple, std::string_view role) const;
  std::int64_t integer(NodeId id, std::string_view role) const;
  const std::string& text(NodeId id, std::string_view role) const;

  const std::string& what_;
  std::size_t position_ = 0;
  std::size_t work_ = 0;
  std::vector<NodeId> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, NodeId> memo_;
  Pickle pickle_;
};

}  // namespace fer::detail
