// Settles a run's input and classes before the run begins.
#pragma once

#include <filesystem>

#include "fer/training/loop.h"

namespace fer {

/// Sets TrainingConfig::colour if the settings leave it to the pictures: grey if all training pictures are
/// grey. Notes it in that case.
void settle_colour(RunConfig& config, bool all_grey, TrainingObserver& observer);

/// Whether `folder` holds weights to resume from, so that the initial weights need not be read.
bool has_checkpoint(const std::filesystem::path& folder);

/// DataError, naming both lists, if the newest checkpoint in `folder` has other classes than the data set, or
/// another order. A checkpoint knows classes only by number, so they would change places.
void require_classes_of_run(const std::filesystem::path& folder, const DatasetInfo& data);

/// ConfigError if `folder` has a checkpoint and the newest one was trained on another input.
void require_input_of_run(const std::filesystem::path& folder, const RunConfig& config);

}  // namespace fer
