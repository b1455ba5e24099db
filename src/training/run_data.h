// The data of a training: its parts, opened and checked, without pictures that cannot be read.
#pragma once

#include <memory>

#include "fer/data/examine.h"
#include "fer/training/loop.h"

namespace fer {

struct RunData {
  std::shared_ptr<const Dataset> train, test, validation;  ///< validation: null if its fraction is 0
};

RunData open_data(const DatasetOptions& options);

/// Reads every picture file now, so that a damaged one is found before hours of training, and keeps it in
/// `cache` at the network's size, so that it is read only once. Leaves out bad pictures, up to
/// DatasetOptions::skip_bad. Notes the warnings of all parts. Returns whether all training pictures are grey.
/// DataError, naming the bad pictures, if there are more; Interrupted if an observer of any rank asks for it.
bool look_at_pictures(RunData& data, const RunConfig& config, SampleCache& cache, TrainingObserver& observer,
                      Communicator& ranks);

}  // namespace fer
