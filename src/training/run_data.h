// The data of a training: its parts, opened, looked at, and without the pictures that cannot be read.
#pragma once

#include <memory>

#include "fer/data/examine.h"
#include "fer/training/loop.h"

namespace fer {

struct RunData {
  std::shared_ptr<const Dataset> train, test, validation;  ///< validation: null where its fraction is 0
};

RunData open_data(const DatasetOptions& options);

/// Looks at every picture of a file, so that a damaged one is met now and not after hours, and keeps it in
/// `cache` for the network's size, so that it is read once. Bad ones are left out as far as
/// DatasetOptions::skip_bad allows. Notes the warnings of all parts. Returns whether all pictures to train on
/// are grey. DataError, naming the bad pictures, if they are more; Interrupted if the observer wants it.
bool look_at_pictures(RunData& data, const RunConfig& config, SampleCache& cache, TrainingObserver& observer);

}  // namespace fer
