// Checks that a run folder holds what resuming needs.
#pragma once

#include <filesystem>

namespace fer {

/// IoError, naming the file, if a file that the run has written and needs again is gone: its newest
/// checkpoint, without which it would start over, or the weights of its best epoch, which it evaluates at the
/// end.
void require_resumable(const std::filesystem::path& folder);

}  // namespace fer
