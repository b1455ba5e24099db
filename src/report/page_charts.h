// The curves of the report page.
#pragma once

#include <vector>

#include "fer/report/charts.h"
#include "fer/report/page.h"

namespace fer::detail {

/// Loss of training and validation, its parts, accuracy, learning rate and throughput; points of the landmark
/// backbone's training if there was one.
std::vector<LineChart> training_charts(const RunStudy& run);
/// Losses and validation accuracy of all runs.
std::vector<LineChart> comparison_charts(const std::vector<RunStudy>& runs);

}  // namespace fer::detail
