// A model's parameters and multiply-adds, module by module.
#pragma once

#include <string>
#include <vector>

#include "fer/graph/trace.h"
#include "fer/models/network.h"

namespace fer {

struct ModuleInfo {
  std::string path;         ///< "" is the whole model
  std::string description;  ///< Module::describe()
  int depth = 0;            ///< nesting depth; 0: the whole model
  std::int64_t parameters = 0;
  std::int64_t macs = 0;  ///< multiply-adds of one image
};

/// One entry per module, parents before children, with the multiply-adds of `forward` for one image of
/// image_size x image_size. Counted from the graph of the module in evaluation mode, or with `optimised` from
/// the graph after all passes; the module is left unchanged.
std::vector<ModuleInfo> describe_model(Module& model, const TensorFunction& forward, std::int64_t image_size,
                                       bool optimised = false);
/// The same for the scores of a network.
std::vector<ModuleInfo> describe_model(Network& model, bool optimised = false);

}  // namespace fer
