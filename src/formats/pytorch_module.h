// A torch.nn.Module that was pickled whole. Its parameters and buffers are in dictionaries that every module
// has, whatever its class.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "formats/pickle_vm.h"

namespace fer::detail {

class ModuleWalk {
 public:
  /// `count` receives the amount of work done and throws if it exceeds the limit.
  ModuleWalk(const Pickle& pickle, std::function<void(std::size_t)> count)
      : pickle_(pickle), count_(std::move(count)) {}

  /// Whether the node is an object with _parameters, _buffers and _modules among its attributes.
  bool is_module(NodeId id) const;
  /// What state_dict() of the module would return, in its order: parameters, persistent buffers, then those
  /// of submodules.
  std::vector<std::pair<std::string, NodeId>> state_of(NodeId module) const;

 private:
  const std::vector<NodeId>* attribute(NodeId object, std::string_view name) const;
  void walk(NodeId module, const std::string& prefix, std::size_t depth,
            std::vector<std::pair<std::string, NodeId>>& state) const;

  const Pickle& pickle_;
  std::function<void(std::size_t)> count_;
};

}  // namespace fer::detail
