// The training loop: steps, schedule, checkpoints, metrics and resuming, the same for every task. What is
// trained and how its loss comes about is a Task.
//
// Files in the run folder: last.safetensors (weights, optimizer and counters of the newest checkpoint),
// best.safetensors (weights of the best epoch), metrics.jsonl (a line a step and an epoch). Those of a stage
// with a name have it before theirs, landmarks-last.safetensors, but for the log, which all stages share.
// All are replaced by renaming, so a kill at any moment leaves each of them whole; what was done after the
// last checkpoint is done again when the run is resumed, with the same numbers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fer/autograd/variable.h"
#include "fer/data/loader.h"
#include "fer/error.h"
#include "fer/formats/state_dict.h"
#include "fer/layers/module.h"
#include "fer/training/config.h"

namespace fer {

/// Named numbers in their order: parts of a loss, figures of an evaluation.
using Figures = std::vector<std::pair<std::string, double>>;

struct LossResult {
  Variable total;
  std::vector<std::pair<std::string, Variable>> parts;  ///< for logs
};

struct Evaluation {
  Figures figures;
  std::optional<double> score;  ///< the higher the better; without one the newest epoch is the best
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string stage() const = 0;  ///< of the run: "landmarks", "image", or "" for the expressions
  virtual Module& model() = 0;
  /// What loss() needs of a batch, on the device: pictures, labels, targets. Checks what loss() trusts.
  virtual std::vector<Tensor> inputs(const Batch& batch) = 0;
  /// The loss in training mode. A function of the inputs alone that looks at no values, so that it can be
  /// captured as a graph (TrainingConfig::graph).
  virtual LossResult loss(const std::vector<Tensor>& inputs) = 0;
  /// Figures of the validation split.
  virtual Evaluation evaluate() = 0;
  /// Extra metadata of this task's weight files.
  virtual Metadata metadata() const { return {}; }
};

struct StepReport {
  std::string stage;                   ///< Task::stage()
  std::int64_t epoch = 0, epochs = 0;  ///< epoch counts from 1
  std::int64_t step = 0, steps = 0;    ///< in the whole run; step counts from 1
  std::int64_t step_in_epoch = 0, steps_per_epoch = 0;
  double loss = 0, lr = 0, gradient_norm = 0;
  Figures parts;
  double images_per_second = 0, seconds_left = 0;
};

struct EpochReport {
  std::string stage;  ///< Task::stage()
  std::int64_t epoch = 0, epochs = 0, step = 0;
  double train_loss = 0, lr = 0, seconds = 0, images_per_second = 0;
  double waiting = 0;  ///< share of the epoch's time spent waiting for the loader
  Evaluation evaluation;
  bool best = false;
};

/// Who watches a run: the app draws a progress bar, tests collect. The library itself prints nothing.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void on_note(const std::string&) {}
  /// A loop that has steps left is about to begin, or to go on: the checkpoint that it found fits.
  virtual void on_begin() {}
  virtual void on_step(const StepReport&) {}
  virtual void on_epoch(const EpochReport&) {}
  /// Asked after each step. True ends the run: its checkpoint is written and Interrupted thrown.
  virtual bool wants_stop() { return false; }
};

/// A run was ended by its observer; it can be resumed.
class Interrupted : public Error {
 public:
  using Error::Error;
};

struct LoopResult {
  std::int64_t steps = 0, best_epoch = 0;
  Evaluation best, last;
  bool holds_best = false;  ///< whether the model's weights, the last epoch's, are those of the best one
  double seconds = 0, waiting = 0;
  std::size_t peak_memory = 0;  ///< bytes, of the device's allocator
};

/// Runs `task` over `loader` as `config` says, from the newest checkpoint in `folder` if there is one. Where
/// TrainingConfig::max_steps ends it within an epoch, that epoch is evaluated and logged, and is the best one
/// only if there is no other, or no score; the checkpoint stands before that, so that with more steps the run
/// goes on as if it had never stopped. ConfigError if the checkpoint stands within an epoch of another number
/// of batches. Afterwards the model holds the weights of the last epoch. NumericError, naming the batch and
/// its samples, for a loss that is not finite; Interrupted if the observer ends it.
LoopResult run_training(Task& task, DataLoader& loader, const TrainingConfig& config,
                        const std::filesystem::path& folder, TrainingObserver& observer);

}  // namespace fer
