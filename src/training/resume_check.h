// What a run folder must hold before its run is resumed.
#pragma once

#include <filesystem>

namespace fer {

/// IoError, naming the file, if one is gone that the run has written and needs again: its newest checkpoint,
/// without which it would begin anew, or the weights of its best epoch, which its end evaluates.
void require_resumable(const std::filesystem::path& folder);

}  // namespace fer
