#include "fer/training/experiment.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fer/formats/atomic_file.h"
#include "fer/formats/checksum.h"
#include "fer/formats/folder_lock.h"
#include "fer/training/checkpoint.h"
#include "formats/json_document.h"
#include "training/classification_task.h"
#include "training/evaluation_json.h"
#include "training/named_weights.h"
#include "training/resume_check.h"
#include "training/run_data.h"
#include "training/run_input.h"
#include "training/same_run.h"
#include "training/stages.h"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Locks a new and empty folder, or with `resume` the folder of a run, for this process.
FolderLock prepare_folder(const fs::path& folder, bool resume, TrainingObserver& observer) {
  std::error_code error;
  if (resume) {
    require<IoError>(fs::exists(folder / "config.json", error), "cannot resume '", folder.string(),
                     "': it holds no config.json");
  } else {
    const bool file = fs::exists(folder, error) && !fs::is_directory(folder, error);
    require<IoError>(!file, "the run folder '", folder.string(), "' is a file; name another folder");
    fs::create_directories(folder, error);
    require<IoError>(!error, "cannot create the run folder '", folder.string(), "': ", error.message());
  }
  FolderLock lock(folder);
  if (!lock.missing().empty()) observer.on_note(lock.missing());
  require<IoError>(resume || fs::is_empty(folder, error), "the run folder '", folder.string(),
                   "' is not empty; resume its run with --resume, or name another folder");
  return lock;
}

std::shared_ptr<const Dataset> first_batch(const std::shared_ptr<const Dataset>& dataset,
                                           const RunConfig& config) {
  DataLoader loader(dataset, training_loader_options(config));
  std::vector<std::int64_t> order = loader.order(0);
  order.resize(static_cast<std::size_t>(std::min<std::int64_t>(config.training.batch_size, dataset->size())));
  return subset(dataset, order);
}

/// Loads the best epoch's weights into the model and evaluates them.
EvaluationResult evaluate_best(Network& model, DataLoader& loader, const fs::path& folder, Device device,
                               Communicator& ranks) {
  const fs::path best = folder / "best.safetensors";
  if (ranks.rank() == 0) load_weights(load_state_dict(best), best.string(), model);
  for (auto [name, tensor] : model.state_dict()) ranks.broadcast(tensor);
  return evaluate(model, loader, device, {}, ranks);
}

/// `result`, with the weights file noted in its subject.
EvaluationResult of_weights(EvaluationResult result, const fs::path& file) {
  result.subject.weights = file.filename().string();
  result.subject.sha256 = file_sha256(file);
  return result;
}

}  // namespace

LoaderOptions training_loader_options(const RunConfig& config, const Communicator& ranks) {
  LoaderOptions options;
  options.rank = ranks.rank();
  options.world = ranks.size();
  options.batch_size = config.training.batch_size;
  options.follow(input_spec(config));
  options.shuffle = true;
  options.balanced = config.training.balanced;
  options.drop_last = true;
  options.augment = config.augment;
  options.seed = config.training.seed;
  options.threads = static_cast<int>(config.training.loader_threads);
  options.cache = std::make_shared<SampleCache>();
  return options;
}

LoaderOptions evaluation_loader_options(const RunConfig& config, const Communicator& ranks) {
  LoaderOptions options = training_loader_options(config, ranks);
  options.batch_size = 32;
  options.shuffle = options.balanced = options.drop_last = false;
  options.augment = AugmentOptions::none();
  return options;
}

namespace {

/// Completes the settings with values that depend on the data and the weight files: number of classes, sizes.
RunConfig completed(RunConfig config, const Dataset& train, const NamedWeights& weights) {
  config.model.set_classes(train.classes());
  weights.adopt_sizes(config);
  validate(config.model);
  // Reports a loss that lacks something now, not after the landmark stage.
  const FERLoss checked_loss(loss_config(config.training, train.info().neutral));
  return config;
}

/// Writes the settings of a resumed run when its loop begins. They may differ from the original settings, and
/// settings that the checkpoint refuses must not overwrite those.
class ResumedSettings final : public TrainingObserver {
 public:
  ResumedSettings(TrainingObserver& next, fs::path file, std::string settings)
      : next_(next), file_(std::move(file)), settings_(std::move(settings)) {}

  void on_note(const std::string& text) override { next_.on_note(text); }
  void on_begin() override {
    if (!settings_.empty()) write_file_atomically(file_, settings_);
    settings_.clear();
    next_.on_begin();
  }
  void on_step(const StepReport& report) override { next_.on_step(report); }
  void on_epoch(const EpochReport& report) override { next_.on_epoch(report); }
  bool wants_stop() override { return next_.wants_stop(); }

 private:
  TrainingObserver& next_;
  fs::path file_;
  std::string settings_;
};

/// Each rank needs a sample of every batch: an operation on none has no gradients to send.
void require_shares(const Communicator& ranks, std::int64_t batch_size, const char* setting) {
  require<ConfigError>(batch_size >= ranks.size(), "a batch of ", batch_size,
                       batch_size == 1 ? " sample" : " samples", " ('", setting, "') cannot be shared by ",
                       ranks.size(), " processes; each needs one or more");
}

std::unique_ptr<Network> new_network(const RunConfig& config) {
  const SkipInit skip;
  std::unique_ptr<Network> network = make_network(config.model);
  network->initialise(config.training.seed);
  return network;
}

/// The main stage and the test.
ExperimentResult train_classes(StageContext& run, const RunData& sets, std::shared_ptr<SampleCache> cache,
                               std::optional<LoopResult> landmarks) {
  const RunConfig& config = run.config;
  const DatasetInfo& data = sets.train->info();
  const auto with_cache = [&](LoaderOptions options) {
    options.cache = cache;
    return options;
  };
  DataLoader train_loader(config.training.overfit_batch ? first_batch(sets.train, config) : sets.train,
                          with_cache(training_loader_options(config, run.ranks)));
  DataLoader test_loader(sets.test, with_cache(evaluation_loader_options(config, run.ranks)));
  std::optional<DataLoader> validation_loader;
  if (sets.validation && sets.validation->size() > 0)
    validation_loader.emplace(sets.validation, with_cache(evaluation_loader_options(config, run.ranks)));
  run.observer.on_note(concat("data: ", train_loader.dataset().size(), " samples to train on, ",
                              sets.validation ? sets.validation->size() : 0, " to choose the epoch by, ",
                              sets.test->size(), " to test on (", name_of(sets.test->info().split), "); ",
                              data.class_names.size(), " classes, ", run.network.parameter_count(),
                              " parameters"));
  if (data.labels != sets.test->info().labels)
    run.observer.on_note(concat("labels: ", data.labels, "; of the test: ", sets.test->info().labels));
  ClassificationTask task(run.network, validation_loader ? &*validation_loader : nullptr, config, data,
                          run.device, run.ranks);
  LoopResult training =
      run_training(task, train_loader, config.training, run.folder, run.observer, run.ranks);
  EvaluationResult last = evaluate(run.network, test_loader, run.device, {}, run.ranks);
  EvaluationResult best = last;
  if (training.best_epoch > 0 && !training.holds_best)
    best = evaluate_best(run.network, test_loader, run.folder, run.device, run.ranks);
  const bool writes = run.ranks.rank() == 0;
  if (writes) last = of_weights(std::move(last), run.folder / "last.safetensors");
  if (writes && training.best_epoch > 0) best = of_weights(std::move(best), run.folder / "best.safetensors");
  ExperimentResult result{run.folder,
                          std::move(landmarks),
                          std::move(training),
                          std::move(last),
                          std::move(best),
                          data.class_names,
                          std::string(name_of(sets.test->info().split)),
                          run.network.parameter_count()};
  if (writes) write_file_atomically(run.folder / "result.json", result_to_json(result));
  return result;
}

}  // namespace

ExperimentResult run_experiment(RunConfig config, const fs::path& folder, bool resume, Device device,
                                TrainingObserver& user, Communicator& ranks) {
  check(config);
  require_same_settings(ranks, config);
  const bool writes = ranks.rank() == 0;
  if (resume && writes) require_resumable(folder);
  if (config.training.overfit_batch) {  // nothing may keep the loss on that batch from falling
    config.augment = AugmentOptions::none();
    config.model.switch_off_dropout();
  }
  RunData sets = open_data(config.data);
  const auto pictures = std::make_shared<SampleCache>();
  const bool all_grey = look_at_pictures(sets, config, *pictures, user, ranks);
  const DatasetInfo& data = sets.train->info();
  if (resume && writes) require_classes_of_run(folder, data);
  require_shares(ranks, std::min(config.training.batch_size, sets.train->size()), "batch_size");
  require_shares(ranks, config.landmarks.batch_size, "landmark_batch_size");
  const bool begins = ranks.agree(writes && (!resume || !has_checkpoint(folder))) != 0;
  std::optional<NamedWeights> weights(std::in_place, config, begins);
  config = completed(std::move(config), *sets.train, *weights);
  settle_colour(config, all_grey, user);
  if (resume && writes) require_input_of_run(folder, config);
  const std::unique_ptr<Network> network = new_network(config);
  const std::vector<std::string> loaded = weights->load(data, *network);
  weights.reset();
  require_same_run(ranks, config, {sets.train, sets.validation, sets.test}, *network);
  std::optional<FolderLock> lock;
  if (writes) lock.emplace(prepare_folder(folder, resume, user));
  const std::string settings = to_json(config);
  if (!resume && writes) write_file_atomically(folder / "config.json", settings);
  ResumedSettings observer(user, folder / "config.json", resume && writes ? settings : "");
  observer.on_note("run folder: " + folder.string());
  for (const std::string& report : loaded) observer.on_note(report);

  network->to(device);
  backend(device).reset_peak_memory();
  StageContext run(config, *network, folder, device, observer, ranks);
  std::optional<LoopResult> landmarks;
  for (const Stage& stage : landmark_stages(config, *network)) {
    observer.on_note(stage.note);
    LoopResult result = stage.train(run);
    if (stage.part == network->landmark_net()) landmarks = std::move(result);
  }
  network->freeze_landmarks();
  network->set_checkpointing(config.training.checkpointing);
  const std::shared_ptr<SampleCache> drawn_faces = run.release_drawn_faces();
  return train_classes(run, sets, drawn_faces ? drawn_faces : pictures, std::move(landmarks));
}

void check_experiments(const std::vector<RunConfig>& configs) {
  RunData sets;
  std::optional<DatasetOptions> opened;
  for (const RunConfig& config : configs) {
    check(config);
    if (opened != config.data) {
      sets = open_data(config.data);
      opened = config.data;
    }
    const NamedWeights weights(config, /*with_init=*/true);
    const RunConfig complete = completed(config, *sets.train, weights);
    if (!weights.empty()) weights.load(sets.train->info(), *new_network(complete));
  }
}

RunConfig train_backbones(RunConfig config, const fs::path& folder, Device device, TrainingObserver& observer,
                          Communicator& ranks) {
  const bool settled = config.training.colour != ColourMode::automatic;
  RunConfig sized = config;
  if (MobileFaceNetConfig* landmarks = sized.model.landmark_net()) landmarks->head = true;
  const std::unique_ptr<Network> network = new_network(sized);
  const std::vector<Stage> stages = landmark_stages(config, *network);
  if (stages.empty()) return config;
  std::error_code error;
  const bool writes = ranks.rank() == 0;
  std::optional<FolderLock> lock;
  if (writes) {
    fs::create_directories(folder, error);
    require<IoError>(!error, "cannot create the folder '", folder.string(), "': ", error.message());
    lock.emplace(folder);
    if (!lock->missing().empty()) observer.on_note(lock->missing());
  }
  settle_colour(config, !settled && all_grey(*open_dataset(config.data)), observer);
  network->to(device);
  StageContext run(config, *network, folder, device, observer, ranks);
  RunConfig ready = config;
  for (const Stage& stage : stages) {
    const fs::path weights = folder / (stage.name + ".safetensors");
    if (ranks.agree(writes && !fs::exists(weights, error)) != 0) {
      stage.train(run);
      if (writes) {
        save_weights(weights, *stage.part, {{input_key, to_json(input_spec(landmark_settings(config, 1)))}});
        fs::remove(folder / (stage_prefix(stage.name) + "last.safetensors"), error);  // obsolete
      }
    }
    if (stage.part == network->landmark_net()) {
      ready.landmarks.file = weights.string();
    } else {
      ready.training.image_backbone = weights.string();
      ready.landmarks.image_epochs = 0;
    }
  }
  ranks.barrier();  // the files are there
  return ready;
}

std::string result_to_json(const ExperimentResult& result) {
  Json json = json_document("training result", 1);
  json["folder"] = result.folder.string();
  json["parameters"] = result.parameters;
  json["steps"] = result.training.steps;
  json["seconds"] = result.training.seconds;
  json["waiting"] = result.training.waiting;
  json["peak_memory_bytes"] = result.training.peak_memory;
  json["best_epoch"] = result.training.best_epoch;
  json["test_split"] = result.test_split;
  json["last"] = evaluation_json(result.last, false);
  json["best"] = evaluation_json(result.best, false);
  return json.dump(2) + "\n";
}

}  // namespace fer
