// Where tests find files: the source tree, and reference files beside it.
#pragma once

#include <filesystem>

namespace fer::test {

std::filesystem::path source_folder();

/// The folder in the environment variable `variable`, or by default `../shared/<usual>` beside the source
/// tree. It may be absent; tests that need it are then visibly skipped.
std::filesystem::path reference_folder(const char* variable, const char* usual);

}  // namespace fer::test
