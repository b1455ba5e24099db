// What the network of a run is fed and what it tells apart, settled before the run begins.
#pragma once

#include <filesystem>

#include "fer/training/loop.h"

namespace fer {

/// Settles TrainingConfig::colour where the settings leave it to the pictures, of which all to train on are
/// grey or not, and says so where it is grey.
void settle_colour(RunConfig& config, bool all_grey, TrainingObserver& observer);

/// Whether `folder` holds weights that a resumed run goes on with, so that those it began with are not read.
bool has_checkpoint(const std::filesystem::path& folder);

/// DataError, naming both lists, if the newest checkpoint in `folder` knows other classes than the data set
/// has now, or in another order: it knows them by their numbers alone, and they would change places.
void require_classes_of_run(const std::filesystem::path& folder, const DatasetInfo& data);

/// ConfigError if the newest checkpoint in `folder`, if there is one, was trained on another input.
void require_input_of_run(const std::filesystem::path& folder, const RunConfig& config);

}  // namespace fer
