// The components that wrappers put into the names of the tensors of what they wrap.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fer/formats/state_dict.h"

namespace fer::detail {

/// Takes off what wrappers alone put into names: `module.` where every name begins with it, `_orig_mod.` of
/// torch.compile and the like wherever they are. FormatError, naming `what`, if two names become one.
void strip_wrappers(StateFile& file, const std::string& what);
/// Takes `prefix`, with or without its dot, off the names that begin with it; FormatError if none does, or if
/// two names become one.
void strip_prefix(StateFile& file, const std::string& prefix, const std::string& what);

/// Gives the tensors new names; `names` has one for each, in order. FormatError if two are the same.
void rename_tensors(StateFile& file, const std::vector<std::string>& names, const std::string& what);
/// Notes that `prefix` was taken off one more name.
void add_taken_off(std::vector<TakenOff>& taken_off, const std::string& prefix);

}  // namespace fer::detail
