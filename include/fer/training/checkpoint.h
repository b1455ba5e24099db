// Weight files and training checkpoints, on top of the formats floor. A checkpoint is a safetensors file: the
// model's parameters and buffers under their own names (so it is a weight file too), the optimizer's under
// "optimizer/", and counters in the metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "fer/formats/state_dict.h"
#include "fer/layers/module.h"
#include "fer/training/optimizer.h"

namespace fer {

struct MatchReport;

/// Writes parameters and buffers, float32, beside `path` and renames.
void save_weights(const std::filesystem::path& path, Module& model, const Metadata& metadata);

/// Copies every parameter and buffer of `model` from `tensors`; what else they hold is left aside, as the
/// report says. FormatError or ShapeError, naming `source` and the keys, unless all are there.
MatchReport load_weights(const StateDict& tensors, const std::string& source, Module& model);

/// Where a run stands; exact to the step.
struct Progress {
  std::int64_t epoch = 0;    ///< epochs that are complete
  std::int64_t batch = 0;    ///< batches of the running epoch that are done
  std::int64_t batches = 0;  ///< of an epoch; 0: not known (older checkpoints)
  std::int64_t step = 0;
  std::int64_t best_epoch = 0;
  double best_score = 0;
  double loss_sum = 0;  ///< of the running epoch, so that its mean survives a resume
  double seconds = 0, waiting = 0;
  std::string best_figures = "[]";  ///< JSON
};

void save_checkpoint(const std::filesystem::path& path, Module& model, const Optimizer& optimizer,
                     const MovingAverage* average, const Progress& progress, const Metadata& metadata);
/// FormatError, naming file and key, if the file was written by another version, another model or optimizer.
Progress load_checkpoint(const std::filesystem::path& path, Module& model, Optimizer& optimizer,
                         MovingAverage* average);

}  // namespace fer
