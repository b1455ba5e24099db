// A model's parameters and multiply-adds, module by module.
#pragma once

#include <string>
#include <vector>

#include "fer/models/fernet.h"

namespace fer {

struct ModuleInfo {
  std::string path;         ///< "" is the whole model
  std::string description;  ///< Module::describe()
  int depth = 0;            ///< nesting depth; 0: the whole model
  std::int64_t parameters = 0;
  std::int64_t macs = 0;  ///< multiply-adds of one image
};

struct InfoOptions {
  bool full_last_block = false;  ///< count all 197 rows of the last block, as in the equations
  bool optimised = false;        ///< count the graph that inference runs, after all passes
};

/// One entry per module, parents before children. Counted from the graph of one image, in evaluation mode;
/// the model is left unchanged.
std::vector<ModuleInfo> describe_model(FERNet& model, const InfoOptions& options = {});
/// The same for a landmark net by itself, with its head if it has one.
std::vector<ModuleInfo> describe_model(MobileFaceNet& model, std::int64_t image_size = 112);

}  // namespace fer
