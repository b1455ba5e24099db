// What the network of a run is fed, settled before the run begins.
#pragma once

#include <filesystem>

#include "fer/training/loop.h"

namespace fer {

/// Settles TrainingConfig::colour where the settings leave it to the pictures, of which all to train on are grey or
/// not, and says so where it is grey.
void settle_colour(RunConfig& config, bool all_grey, TrainingObserver& observer);

/// ConfigError if the newest checkpoint in `folder`, if there is one, was trained on another input.
void require_input_of_run(const std::filesystem::path& folder, const RunConfig& config);

}  // namespace fer
