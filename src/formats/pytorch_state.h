// Finds the tensors of a model within a checkpoint.
#pragma once

#include <string>

#include "fer/formats/pytorch.h"
#include "fer/formats/state_dict.h"

namespace fer::detail {

/// Fills tensors, metadata, found_under and skipped of `file` from the checkpoint `root`. See LoadOptions for
/// `key` and the search. `name` is the file in messages.
void take_tensors(const PyValue& root, const std::string& key, const std::string& name, StateFile& file);

}  // namespace fer::detail
