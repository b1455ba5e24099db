// Checks that the processes of a run agree about what they train, before they do.
#pragma once

#include <memory>
#include <vector>

#include "fer/data/dataset.h"
#include "fer/layers/module.h"
#include "fer/tensor/communicator.h"
#include "fer/training/config.h"

namespace fer {

/// ConfigError on all ranks if they have different settings; paths may differ.
void require_same_settings(Communicator& ranks, const RunConfig& config);

/// ConfigError on all ranks, naming the rank and the first thing that it has other than rank 0: a setting (paths
/// may differ), the names and labels of a data set's samples, some of its pictures, or a weight.
void require_same_run(Communicator& ranks, const RunConfig& config,
                      const std::vector<std::shared_ptr<const Dataset>>& parts, Module& network);

}  // namespace fer
