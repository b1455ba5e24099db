// A whole run, as `fer train` does it: data, model, landmark backbone, training, test, and the run folder.
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
  EvaluationResult last, best;  ///< of the test split, with the weights of the last and of the best epoch
  std::vector<std::string> class_names;
  std::string test_split;
  std::int64_t parameters = 0;
};

/// Trains as `config` says, on `device`, into `folder`, which is created. With `resume` the folder's own run
/// goes on where its newest checkpoint left it. The landmark backbone comes from LandmarkConfig::file, or is
/// trained first on the points of drawn faces; either way it is frozen afterwards. The image backbone learns
/// the same points, if image_epochs() says so, and is trained on. With TrainingConfig::init all of the
/// network comes from that file, and nothing is trained on points. Afterwards the folder holds config.json,
/// metrics.jsonl, last and best weights, and result.json. IoError if the folder holds another run and
/// `resume` is false, or if somebody else is writing there (FolderLock). DataError, naming both lists, if a
/// resumed run learns other classes than the data set has now, or has them in another order.
ExperimentResult run_experiment(RunConfig config, const std::filesystem::path& folder, bool resume,
                                Device device, TrainingObserver& observer);

/// The settings to begin with for a run from the weights in `file` (TrainingConfig::init): their network, and
/// rates and lengths that suit a short training of what is already trained. FormatError, IoError: it cannot
/// be read.
RunConfig fine_tuning(const std::filesystem::path& file);

/// Throws what run_experiment() would throw before it touches its folder: settings that contradict each other
/// or the data, data that is not there, weights that do not fit the network.
void check_experiments(const std::vector<RunConfig>& configs);

/// Teaches the backbones that `config` gives no checkpoint for the points of drawn faces, as a run does; goes
/// on with what `folder` holds of it. Returns the configuration with their weights,
/// <folder>/landmarks.safetensors and <folder>/image.safetensors, as checkpoints.
RunConfig train_backbones(RunConfig config, const std::filesystem::path& folder, Device device,
                          TrainingObserver& observer);

/// The result as JSON: accuracy, per class, confusion matrices, time and memory.
std::string result_to_json(const ExperimentResult& result);

/// Reads a landmark checkpoint of any known kind into `config`'s sizes (width, units, head). FormatError if
/// it is none.
void adopt_landmark_sizes(const std::filesystem::path& file, FERNetConfig& config);
/// Loads that checkpoint into the model; returns the report of what matched.
std::string load_landmarks(const std::filesystem::path& file, MobileFaceNet& net);
/// The same for the image backbone, from IR50's or POSTER V2's names.
std::string load_image_backbone(const std::filesystem::path& file, IRBackbone& net);

/// Loader options that `config` asks for: training (shuffled, augmented) or evaluation.
LoaderOptions training_loader_options(const RunConfig& config);
LoaderOptions evaluation_loader_options(const RunConfig& config);

}  // namespace fer
