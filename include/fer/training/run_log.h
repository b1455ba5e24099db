// Reads the log of a run from its folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "fer/training/config.h"
#include "fer/training/loop.h"

namespace fer {

struct RunLog {
  std::filesystem::path folder;
  RunConfig config;
  std::vector<StepReport> steps;    ///< of all stages, in order of execution
  std::vector<EpochReport> epochs;  ///< of all stages
};

/// Reads config.json and metrics.jsonl. An incomplete last line, left by a kill, is ignored. IoError if a
/// file is missing; FormatError, naming the line, if one is damaged.
RunLog read_run(const std::filesystem::path& folder);

}  // namespace fer
