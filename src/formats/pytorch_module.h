// A torch.nn.Module that was pickled whole: its parameters and buffers, found in the dictionaries that every
// module keeps them in, whatever its class.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "formats/pickle_vm.h"

namespace fer::detail {

class ModuleWalk {
 public:
  /// `count` is told how much is looked at and made, and throws if that is too much.
  ModuleWalk(const Pickle& pickle, std::function<void(std::size_t)> count)
      : pickle_(pickle), count_(std::move(count)) {}

  /// Whether the node is an object with _parameters, _buffers and _modules among its attributes.
  bool is_module(NodeId id) const;
  /// What state_dict() of the module would hold, in its order: parameters, persistent buffers, then those of
  /// the modules within.
  std::vector<std::pair<std::string, NodeId>> state_of(NodeId module) const;

 private:
  const std::vector<NodeId>* attribute(NodeId object, std::string_view name) const;
  void walk(NodeId module, const std::string& prefix, std::size_t depth,
            std::vector<std::pair<std::string, NodeId>>& state) const;

  const Pickle& pickle_;
  std::function<void(std::size_t)> count_;
};

}  // namespace fer::detail
