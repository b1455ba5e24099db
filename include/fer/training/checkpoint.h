// Weight files and training checkpoints. A checkpoint is a safetensors file: the model's parameters and
// buffers under their own names (so it is a weight file too), the optimizer's state under "optimizer/", and
// counters in the metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "fer/formats/matching.h"
#include "fer/layers/module.h"
#include "fer/tensor/communicator.h"
#include "fer/training/optimizer.h"

namespace fer {

/// Writes parameters and buffers, float32, to a temporary file beside `path`, then renames it.
void save_weights(const std::filesystem::path& path, Module& model, const Metadata& metadata);

/// Copies every parameter and buffer of `model` from `tensors`, which may have other `names`. Other tensors are ignored and listed in the
/// report. FormatError or ShapeError, naming `source` and the keys, unless all are there.
MatchReport load_weights(const StateDict& tensors, const std::string& source, Module& model,
                         NameMap names = {});

/// The position of a run, exact to the step.
struct Progress {
  std::int64_t epoch = 0;    ///< completed epochs
  std::int64_t batch = 0;    ///< completed batches of the current epoch
  std::int64_t batches = 0;  ///< per epoch; 0: unknown (older checkpoints)
  std::int64_t step = 0;
  std::int64_t best_epoch = 0;
  double best_score = 0;
  double loss_sum = 0;  ///< of the current epoch, so that its mean survives a resume
  double seconds = 0, waiting = 0;
  std::string best_figures = "[]";  ///< JSON
};

void save_checkpoint(const std::filesystem::path& path, Module& model, const Optimizer& optimizer,
                     const MovingAverage* average, const Progress& progress, const Metadata& metadata);
/// FormatError, naming file and key, if the file is of another version, another model or another optimizer.
/// Rank 0 reads the file and gives its contents to the others.
Progress load_checkpoint(const std::filesystem::path& path, Module& model, Optimizer& optimizer,
                         MovingAverage* average, Communicator& ranks = one_process());

}  // namespace fer
