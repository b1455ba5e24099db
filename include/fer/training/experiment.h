// A whole run of `fer train`: data, model, landmark backbone, training, test, and the run folder.
#pragma once

#include <filesystem>
#include <optional>

#include "fer/training/evaluate.h"
#include "fer/training/loop.h"

namespace fer {

struct ExperimentResult {
  std::filesystem::path folder;
  std::optional<LoopResult> landmarks;  ///< if the landmark backbone was trained here
  LoopResult training;
  EvaluationResult last, best;  ///< on the test split, with the weights of the last and of the best epoch
  std::vector<std::string> class_names;
  std::string test_split;
  std::int64_t parameters = 0;
};

/// Trains according to `config` on `device` and writes to `folder`, which is created. With `resume`, the run
/// in the folder continues from its newest checkpoint.
///
/// A network's landmark backbone comes from LandmarkConfig::file, or is trained first on the points of drawn
/// faces; either way it is then frozen. If image_epochs() is positive, its image backbone first learns the
/// same points; it stays trainable. With TrainingConfig::init the whole network comes from that file, and nothing
/// is trained on points. Afterwards the folder holds config.json, metrics.jsonl, last and best weights, and
/// result.json.
///
/// IoError if the folder holds another run and `resume` is false, or if another process is writing there
/// (FolderLock). DataError, naming both lists, if the classes of a resumed run differ from the data set's
/// current ones, or their order does.
///
/// With several `ranks`, all call it with the same arguments, and all get the result. ConfigError, naming what
/// differs, if their settings, data or weights are not the same. Only rank 0 reads and writes the folder.
ExperimentResult run_experiment(RunConfig config, const std::filesystem::path& folder, bool resume,
                                Device device, TrainingObserver& observer,
                                Communicator& ranks = one_process());

/// Default settings for fine-tuning the weights in `file` (TrainingConfig::init): the file's network, and
/// learning rate and epochs for a short training. FormatError or IoError if the file cannot be read.
RunConfig fine_tuning(const std::filesystem::path& file);

/// Throws the errors that run_experiment() would throw before it touches its folder: settings that contradict
/// each other or the data, missing data, weights that do not fit the network.
void check_experiments(const std::vector<RunConfig>& configs);

/// Trains the backbones for which `config` names no checkpoint on the points of drawn faces, as a run does.
/// It resumes from what `folder` holds. Returns the configuration with the resulting weights,
/// <folder>/landmarks.safetensors and <folder>/image.safetensors, as checkpoints, which all ranks then read.
RunConfig train_backbones(RunConfig config, const std::filesystem::path& folder, Device device,
                          TrainingObserver& observer, Communicator& ranks = one_process());

/// The result as JSON: accuracy, per-class figures, confusion matrices, time and memory.
std::string result_to_json(const ExperimentResult& result);

/// The loader options of `config` for training (shuffled, augmented) and for evaluation, for this rank's share.
LoaderOptions training_loader_options(const RunConfig& config, const Communicator& ranks = one_process());
LoaderOptions evaluation_loader_options(const RunConfig& config, const Communicator& ranks = one_process());

}  // namespace fer
