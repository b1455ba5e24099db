// Modules: parts of fer in separate shared libraries, loaded on first use.
#pragma once

#include <string>

namespace fer::detail {

/// The address of `symbol` in the module `file` (without its extension). The module is searched for beside
/// the program, as in a build folder; where the program's own installation has it; where this build was to be
/// installed; and where it was built. DeviceError, beginning with `what`, if it is in none of these or cannot
/// be loaded.
const void* load_module(const char* what, const std::string& file, const char* symbol);

}  // namespace fer::detail
