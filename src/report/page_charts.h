// The curves of the report page.
#pragma once

#include <vector>

#include "fer/report/charts.h"
#include "fer/report/page.h"

namespace fer::detail {

/// Training and validation loss, its parts, accuracy, learning rate and throughput; also the landmark stage
/// of the backbone if there was one.
std::vector<LineChart> training_charts(const RunStudy& run);
/// Losses and validation accuracy of all runs.
std::vector<LineChart> comparison_charts(const std::vector<RunStudy>& runs);

}  // namespace fer::detail
