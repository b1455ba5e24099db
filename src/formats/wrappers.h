// The components that wrappers add to tensor names.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fer/formats/state_dict.h"

namespace fer::detail {

/// Removes components that only wrappers use: `module.` if every name begins with it, and `_orig_mod.` of
/// torch.compile and the like at any place. FormatError, naming `what`, if two names become equal.
void strip_wrappers(StateFile& file, const std::string& what);
/// Removes `prefix`, with or without its dot, from the names that begin with it. FormatError if none does, or
/// if two names become equal.
void strip_prefix(StateFile& file, const std::string& prefix, const std::string& what);

/// Renames the tensors; `names` has one name for each, in order. FormatError if two are equal.
void rename_tensors(StateFile& file, const std::vector<std::string>& names, const std::string& what);
/// Counts one more name from which `prefix` was removed.
void add_taken_off(std::vector<TakenOff>& taken_off, const std::string& prefix);

}  // namespace fer::detail
