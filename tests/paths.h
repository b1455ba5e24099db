// Where tests find files: the source tree, and reference files beside it.
#pragma once

#include <filesystem>

namespace fer::test {

std::filesystem::path source_folder();

/// The folder that the environment `variable` names, or `../shared/<usual>` beside the source tree. It may be
/// absent: tests that need it are then skipped, visibly.
std::filesystem::path reference_folder(const char* variable, const char* usual);

}  // namespace fer::test
