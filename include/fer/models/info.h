// What a model is made of: parameters and multiply-adds, module by module.
#pragma once

#include <string>
#include <vector>

#include "fer/models/fernet.h"

namespace fer {

struct ModuleInfo {
  std::string path;         ///< "" is the whole model
  std::string description;  ///< Module::describe()
  int depth = 0;            ///< of nesting; 0 the whole model
  std::int64_t parameters = 0;
  std::int64_t macs = 0;  ///< multiply-adds of one image
};

struct InfoOptions {
  bool full_last_block = false;  ///< all 197 rows of the last block, as the equations say
  bool optimised = false;        ///< as inference runs it, behind all passes of the graph
};

/// One entry a module, parents before children. Counted from the graph of one image, in evaluation mode;
/// the model is left as it was.
std::vector<ModuleInfo> describe_model(FERNet& model, const InfoOptions& options = {});
/// The same for a landmark net of its own, with its head if it has one.
std::vector<ModuleInfo> describe_model(MobileFaceNet& model, std::int64_t image_size = 112);

}  // namespace fer
