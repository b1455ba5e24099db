// What a run folder says of its run.
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
  std::vector<StepReport> steps;    ///< of all stages, in the order in which they were done
  std::vector<EpochReport> epochs;  ///< of all stages
};

/// Reads config.json and metrics.jsonl. A last line that a kill left incomplete is left out. IoError if a
/// file is missing, FormatError, naming the line, if one is damaged.
RunLog read_run(const std::filesystem::path& folder);

}  // namespace fer
