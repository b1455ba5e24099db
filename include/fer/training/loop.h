// The training loop: steps, schedule, checkpoints, metrics and resuming, the same for every task. A Task
// defines the model and the loss.
//
// Files in the run folder:
//   last.safetensors   weights, optimizer and counters of the newest checkpoint
//   best.safetensors   weights of the best epoch
//   metrics.jsonl      one line per step and per epoch
// Stages before the main stage put their name before those of their weight files (landmarks-last.safetensors);
// all stages share the log. All files are replaced by renaming, so a kill at any moment leaves each of them complete. A
// resumed run repeats the steps after the last checkpoint, with the same results.
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
#include "fer/tensor/communicator.h"
#include "fer/training/config.h"

namespace fer {

/// The stage that trains the whole network on its classes.
inline constexpr const char* main_stage = "classes";
/// What the names of a stage's weight files begin with: "" for the main stage, "landmarks-" for "landmarks".
std::string stage_prefix(const std::string& stage);

/// Named numbers in order: parts of a loss, figures of an evaluation.
using Figures = std::vector<std::pair<std::string, double>>;

struct LossResult {
  Variable total;
  std::vector<std::pair<std::string, Variable>> parts;  ///< for logs
};

struct Evaluation {
  Figures figures;
  std::optional<double> score;  ///< higher is better; without a score the newest epoch is the best
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string stage() const = 0;  ///< "landmarks", "image" or main_stage
  virtual Module& model() = 0;
  /// The tensors of a batch that loss() needs, on the device: pictures, labels, targets. It also does the
  /// checks that loss() relies on.
  virtual std::vector<Tensor> inputs(const Batch& batch) = 0;
  /// The loss in training mode. It must depend only on the inputs and must not read values, so that it can be
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
  double images_per_second = 0, seconds_left = 0;  ///< images: of all ranks
};

struct EpochReport {
  std::string stage;  ///< Task::stage()
  std::int64_t epoch = 0, epochs = 0, step = 0;
  double train_loss = 0, lr = 0, seconds = 0, images_per_second = 0;
  double waiting = 0;        ///< share of the epoch's time spent waiting for the loader
  double waiting_ranks = 0;  ///< and for other ranks
  Evaluation evaluation;
  bool best = false;
};

/// Observes a run: the app draws a progress bar, tests collect reports. The library itself prints nothing.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void on_note(const std::string&) {}
  /// A loop that has steps left is about to start or resume; its checkpoint, if any, was loaded.
  virtual void on_begin() {}
  virtual void on_step(const StepReport&) {}
  virtual void on_epoch(const EpochReport&) {}
  /// Called after each step. True ends the run: its checkpoint is written and Interrupted is thrown.
  virtual bool wants_stop() { return false; }
};

/// The observer ended the run; it can be resumed.
class Interrupted : public Error {
 public:
  using Error::Error;
};

struct LoopResult {
  std::int64_t steps = 0, best_epoch = 0;
  Evaluation best, last;
  bool holds_best = false;  ///< whether the model's weights (the last epoch's) are those of the best epoch
  double seconds = 0, waiting = 0;
  std::size_t peak_memory = 0;  ///< bytes, of the device's allocator
};

/// Runs `task` over `loader` according to `config`, from the newest checkpoint in `folder` if there is one.
/// Afterwards the model holds the weights of the last epoch.
///
/// If TrainingConfig::max_steps ends the run within an epoch, that epoch is evaluated and logged; it counts
/// as the best only if there is no other, or no score. The checkpoint is written before that evaluation, so
/// that a run resumed with more steps continues as if it had never stopped.
///
/// ConfigError if the checkpoint lies within an epoch that has another number of batches. NumericError,
/// naming the batch and its samples, for a loss that is not finite. Interrupted if the observer ends the run.
///
/// With several `ranks`, each calls it with its own share of the same data (LoaderOptions::rank), and all compute
/// what one process would. Only rank 0 reads and writes the folder; the observers of all ranks are called. If
/// one wants to stop, all do.
LoopResult run_training(Task& task, DataLoader& loader, const TrainingConfig& config,
                        const std::filesystem::path& folder, TrainingObserver& observer,
                        Communicator& ranks = one_process());

}  // namespace fer
