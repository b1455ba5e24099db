#include "fer/training/experiment.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fer/autograd/ops.h"
#include "fer/formats/atomic_file.h"
#include "fer/formats/checksum.h"
#include "fer/formats/folder_lock.h"
#include "fer/losses/losses.h"
#include "fer/models/known_networks.h"
#include "fer/models/points_net.h"
#include "fer/models/vit_weights.h"
#include "formats/json_document.h"
#include "training/evaluation_json.h"
#include "training/initial_weights.h"
#include "training/resume_check.h"
#include "training/run_data.h"
#include "training/run_input.h"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// A network that finds the 68 points of a face: the landmark backbone or the image backbone, with a head.
template <typename Net>
class PointsTask : public Task {
 public:
  PointsTask(std::string stage, Net& net, DataLoader& validation, const InputSpec& input, Device device)
      : stage_(std::move(stage)), net_(net), validation_(validation), input_(input), device_(device) {}

  std::string stage() const override { return stage_; }
  Module& model() override { return net_; }
  Metadata metadata() const override { return {{input_key, to_json(input_)}}; }

  std::vector<Tensor> inputs(const Batch& batch) override {
    return {network_input(batch, device_), batch.landmarks.to(device_)};
  }

  LossResult loss(const std::vector<Tensor>& inputs) override {
    return {criterion_(net_(Variable(inputs[0])), inputs[1]), {}};
  }

  Evaluation evaluate() override {
    double error = 0, count = 0;
    for (validation_.start(0); std::optional<Batch> batch = validation_.next();) {
      const Variable points = net_(Variable(network_input(*batch, device_)));
      const double n = static_cast<double>(batch->indices.size());
      error += n * normalised_mean_error(points.value(), batch->landmarks);
      count += n;
    }
    return {{{"normalised_mean_error", error / count}}, -error / count};
  }

 private:
  std::string stage_;
  Net& net_;
  DataLoader& validation_;
  InputSpec input_;
  Device device_;
  LandmarkLoss criterion_;
};

FERLossConfig loss_config(const TrainingConfig& config, int neutral) {
  FERLossConfig loss;
  loss.auxiliary = config.loss;
  loss.weight = config.loss_weight;
  loss.neutral = neutral;
  loss.label_smoothing = config.label_smoothing;
  return loss;
}

/// The whole network, for training on expressions.
class ExpressionTask : public Task {
 public:
  ExpressionTask(FERNet& model, DataLoader* validation, const RunConfig& config, const DatasetInfo& data,
                 Device device)
      : model_(model),
        validation_(validation),
        device_(device),
        criterion_(loss_config(config.training, data.neutral)),
        metadata_(to_metadata({config, data.class_names, input_spec(config), ""})) {
    metadata_["neutral"] = std::to_string(data.neutral);
  }

  std::string stage() const override { return ""; }
  Module& model() override { return model_; }
  Metadata metadata() const override { return metadata_; }

  std::vector<Tensor> inputs(const Batch& batch) override {
    for (std::int64_t label : batch.labels.to_vector<std::int64_t>()) {
      require<DataError>(label >= 0 && label < model_.config().classes, "a batch holds the label ", label,
                         "; the network has ", model_.config().classes, " classes");
    }
    return {network_input(batch, device_), batch.labels.to(device_),
            batch.targets.defined() ? batch.targets.to(device_) : Tensor()};
  }

  LossResult loss(const std::vector<Tensor>& inputs) override {
    const FERNetOutput out = model_(Variable(inputs[0]));
    const FERLossParts parts = criterion_(out.scores, out.token, inputs[1], inputs[2]);
    LossResult result{parts.total, {{"cross_entropy", parts.cross_entropy}}};
    if (parts.anchor.defined()) result.parts.emplace_back("anchor", parts.anchor);
    if (parts.neutral.defined()) result.parts.emplace_back("neutral", parts.neutral);
    return result;
  }

  Evaluation evaluate() override {
    if (!validation_) return {};
    const EvaluationResult result = fer::evaluate(model_, *validation_, device_);
    const ConfusionMatrix& c = result.confusion;
    return {{{"accuracy", c.accuracy()},
             {"mean_class_accuracy", c.mean_class_accuracy()},
             {"cross_entropy", result.cross_entropy}},
            c.accuracy()};
  }

 private:
  FERNet& model_;
  DataLoader* validation_;
  Device device_;
  FERLoss criterion_;
  Metadata metadata_;
};

/// Sets the batch norm behind the landmark head's last layer to the mean and spread of the points of the
/// first pictures. Adam moves a parameter by about lr per step. From 1 and 0 it would take hundreds of steps
/// to reach a mean face, and learn nothing else meanwhile.
void start_at_mean_face(MobileFaceNet& net, DataLoader& loader) {
  constexpr std::size_t enough = 256, points = 136;
  std::vector<double> sum(points, 0.0), squares(points, 0.0);
  std::size_t count = 0;
  for (loader.start(0); count < enough;) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    const std::vector<float> values = batch->landmarks.to_vector<float>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum[i % points] += values[i];
      squares[i % points] += static_cast<double>(values[i]) * values[i];
    }
    count += values.size() / points;
  }
  const auto n = static_cast<double>(count);
  std::vector<float> mean(points), deviation(points);
  for (std::size_t i = 0; i < points; ++i) {
    mean[i] = static_cast<float>(sum[i] / n);
    deviation[i] = static_cast<float>(std::sqrt(std::max(0.0, squares[i] / n - sum[i] * sum[i] / (n * n))));
  }
  for (NamedVariable& p : net.named_parameters()) {
    const bool weight = p.name == "output_layer.bn.weight", bias = p.name == "output_layer.bn.bias";
    if (weight || bias)
      p.variable.mutable_value().copy_from(Tensor::from<float>({136}, weight ? deviation : mean));
  }
}

/// The settings of a stage that trains on the landmarks of drawn faces.
RunConfig points_stage(const RunConfig& config, std::int64_t epochs) {
  RunConfig stage = config;
  stage.data.name = "faces";
  stage.data.validation_fraction = 0;
  if (config.data.name != "faces") stage.data.train_identities = config.landmarks.identities;
  stage.training.epochs = epochs;
  stage.training.batch_size = config.landmarks.batch_size;
  stage.training.lr = config.landmarks.lr;
  stage.training.optimizer = OptimizerKind::adam;
  stage.training.schedule = ScheduleKind::cosine;
  stage.training.weight_decay = stage.training.sam_rho = stage.training.ema_decay =
      0;  // these three apply to the expression stage only
  stage.training.max_steps = 0;
  stage.training.face_share = 0;  // applies to the expression stage only
  stage.training.balanced = stage.training.overfit_batch = false;
  stage.augment = AugmentOptions{};  // defaults: flips and erasing teach mirrored and occluded faces
  return stage;
}

LoaderOptions with_cache(LoaderOptions options, const std::shared_ptr<SampleCache>& cache) {
  options.cache = cache;
  return options;
}

/// The drawn faces of the landmark stages, drawn once for all of them.
struct DrawnFaces {
  explicit DrawnFaces(const RunConfig& stage)
      : cache(std::make_shared<SampleCache>()),
        train(open_dataset(stage.data), with_cache(training_loader_options(stage), cache)),
        test(open_dataset(evaluation_data(stage.data, Split::test)),
             with_cache(evaluation_loader_options(stage), cache)) {}
  std::shared_ptr<SampleCache> cache;
  DataLoader train, test;
};

/// Trains the landmark backbone of `model` on drawn faces, or loads it from the folder if that stage is done.
LoopResult train_landmarks(FERNet& model, const RunConfig& config, DrawnFaces& faces, const fs::path& folder,
                           Device device, TrainingObserver& observer) {
  const RunConfig stage = points_stage(config, config.landmarks.epochs);
  start_at_mean_face(model.landmark_backbone(), faces.train);
  PointsTask task("landmarks", model.landmark_backbone(), faces.test, input_spec(stage), device);
  return run_training(task, faces.train, stage.training, folder, observer);
}

/// Trains the image backbone of `model` on the same points, through a head that is then discarded.
LoopResult train_image_backbone(FERNet& model, const RunConfig& config, DrawnFaces& faces,
                                const fs::path& folder, Device device, TrainingObserver& observer) {
  const RunConfig stage = points_stage(config, image_epochs(config));
  PointsNet net = uninitialised<PointsNet>(config.model.image, config.model.image_size);
  net.initialise(config.training.seed);
  net.to(device);
  PointsTask task("image", net, faces.test, input_spec(stage), device);
  LoopResult result = run_training(task, faces.train, stage.training, folder, observer);
  model.image_backbone().load_state_dict(net.image_backbone().state_dict());
  return result;
}

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
EvaluationResult evaluate_best(FERNet& model, DataLoader& loader, const fs::path& folder, Device device) {
  const fs::path best = folder / "best.safetensors";
  load_weights(load_state_dict(best), best.string(), model);
  return evaluate(model, loader, device);
}

/// `result`, with the weights file noted in its subject.
EvaluationResult of_weights(EvaluationResult result, const fs::path& file) {
  result.subject.weights = file.filename().string();
  result.subject.sha256 = file_sha256(file);
  return result;
}

}  // namespace

LoaderOptions training_loader_options(const RunConfig& config) {
  LoaderOptions options;
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

LoaderOptions evaluation_loader_options(const RunConfig& config) {
  LoaderOptions options = training_loader_options(config);
  options.batch_size = 32;
  options.shuffle = options.balanced = options.drop_last = false;
  options.augment = AugmentOptions::none();
  return options;
}

namespace {

/// Completes the settings with values that depend on the data and the weight files: number of classes, sizes.
RunConfig completed(RunConfig config, const Dataset& train, bool begins = true) {
  config.model.classes = train.classes();
  if (const std::string& file = config.training.init; !file.empty()) {
    if (begins) require_network_of(file, config.model);
  } else if (config.landmarks.file.empty()) {
    config.model.landmarks.head = true;  // the backbone learns its points through the head
  } else {
    adopt_landmark_sizes(config.landmarks.file, config.model);
  }
  if (!config.training.vit.empty()) {
    adopt_vit_sizes(read_known_state(config.training.vit).tensors, config.training.vit,
                    config.model.attention);
  }
  validate(config.model);
  // Reports a loss that lacks something now, not after the landmark stage.
  const FERLoss checked_loss(loss_config(config.training, train.info().neutral));
  return config;
}

/// Loads the weight files that the settings name; returns a note about each.
std::vector<std::string> load_named_weights(const RunConfig& config, const DatasetInfo& data, FERNet& model) {
  std::vector<std::string> reports;
  if (const std::string& file = config.training.init; !file.empty())
    reports.push_back(load_initial_weights(file, model, data.class_names));
  if (const std::string& file = config.landmarks.file; !file.empty())
    reports.push_back("landmark backbone: " + file + "\n" + load_landmarks(file, model.landmark_backbone()));
  if (const std::string& file = config.training.image_backbone; !file.empty())
    reports.push_back("image backbone: " + file + "\n" + load_image_backbone(file, model.image_backbone()));
  if (const std::string& file = config.training.vit; !file.empty()) {
    reports.push_back("attention blocks: " + file + " (what it lacks starts fresh)\n" +
                      load_vit(model.attention(), read_known_state(file).tensors, file).text());
  }
  return reports;
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

}  // namespace

ExperimentResult run_experiment(RunConfig config, const fs::path& folder, bool resume, Device device,
                                TrainingObserver& user) {
  check(config);
  if (resume) require_resumable(folder);
  if (config.training.overfit_batch) {
    config.augment = AugmentOptions::none();
    config.model.attention.drop_attention = config.model.attention.drop_hidden =
        config.model.attention.drop_mlp = 0;
  }
  RunData sets = open_data(config.data);
  std::shared_ptr<const Dataset>& train = sets.train;
  const auto pictures = std::make_shared<SampleCache>();
  const bool all_grey = look_at_pictures(sets, config, *pictures, user);
  const DatasetInfo& data = train->info();
  if (resume) require_classes_of_run(folder, data);
  const bool begins = !resume || !has_checkpoint(folder);
  config = completed(std::move(config), *train, begins);
  settle_colour(config, all_grey, user);
  if (resume) require_input_of_run(folder, config);
  FERNet model = uninitialised<FERNet>(config.model);
  model.initialise(config.training.seed);
  const bool named = begins || config.training.init.empty();
  const std::vector<std::string> loaded =
      named ? load_named_weights(config, data, model) : std::vector<std::string>{};
  const FolderLock lock = prepare_folder(folder, resume, user);
  const std::string settings = to_json(config);
  if (!resume) write_file_atomically(folder / "config.json", settings);
  ResumedSettings observer(user, folder / "config.json", resume ? settings : "");
  observer.on_note("run folder: " + folder.string());
  for (const std::string& report : loaded) observer.on_note(report);

  model.to(device);
  backend(device).reset_peak_memory();
  std::optional<DrawnFaces> drawn;
  const auto faces = [&]() -> DrawnFaces& { return drawn ? *drawn : drawn.emplace(points_stage(config, 1)); };
  std::optional<LoopResult> landmark_result;
  if (config.landmarks.file.empty() && config.training.init.empty()) {
    observer.on_note(
        "landmark backbone: no checkpoint given, training it on the points of drawn faces first");
    landmark_result = train_landmarks(model, config, faces(), folder, device, observer);
  }
  model.freeze_landmarks();
  if (image_epochs(config) > 0) {
    observer.on_note("image backbone: it learns the points of drawn faces first");
    train_image_backbone(model, config, faces(), folder, device, observer);
  }
  const bool same_pictures = drawn && config.data.name == "faces";
  const auto cache = same_pictures ? drawn->cache : pictures;
  drawn.reset();
  model.set_checkpointing(config.training.checkpointing);

  if (config.training.overfit_batch) train = first_batch(train, config);
  DataLoader train_loader(train, with_cache(training_loader_options(config), cache));
  DataLoader test_loader(sets.test, with_cache(evaluation_loader_options(config), cache));
  std::optional<DataLoader> validation_loader;
  if (sets.validation && sets.validation->size() > 0)
    validation_loader.emplace(sets.validation, with_cache(evaluation_loader_options(config), cache));
  observer.on_note(concat("expressions: ", train->size(), " samples to train on, ",
                          sets.validation ? sets.validation->size() : 0, " to choose the epoch by, ",
                          sets.test->size(), " to test on (", name_of(sets.test->info().split), "); ",
                          data.class_names.size(), " classes, ", model.parameter_count(), " parameters"));
  if (data.labels != sets.test->info().labels)
    observer.on_note(concat("labels: ", data.labels, "; of the test: ", sets.test->info().labels));
  ExpressionTask task(model, validation_loader ? &*validation_loader : nullptr, config, data, device);
  LoopResult training = run_training(task, train_loader, config.training, folder, observer);
  EvaluationResult last = evaluate(model, test_loader, device);
  EvaluationResult best = last;
  if (training.best_epoch > 0 && !training.holds_best)
    best = evaluate_best(model, test_loader, folder, device);
  last = of_weights(std::move(last), folder / "last.safetensors");
  if (training.best_epoch > 0) best = of_weights(std::move(best), folder / "best.safetensors");
  ExperimentResult result{folder,
                          std::move(landmark_result),
                          std::move(training),
                          std::move(last),
                          std::move(best),
                          data.class_names,
                          std::string(name_of(sets.test->info().split)),
                          model.parameter_count()};
  write_file_atomically(folder / "result.json", result_to_json(result));
  return result;
}

void check_experiments(const std::vector<RunConfig>& configs) {
  RunData sets;
  Json opened;
  for (const RunConfig& config : configs) {
    check(config);
    if (const Json data = Json::parse(to_json(config))["data"]; data != opened) {
      sets = open_data(config.data);
      opened = data;
    }
    const RunConfig whole = completed(config, *sets.train);
    const bool named = !whole.landmarks.file.empty() || !whole.training.image_backbone.empty() ||
                       !whole.training.vit.empty() || !whole.training.init.empty();
    if (!named) continue;
    FERNet model = uninitialised<FERNet>(whole.model);
    load_named_weights(whole, sets.train->info(), model);
  }
}

RunConfig train_backbones(RunConfig config, const fs::path& folder, Device device,
                          TrainingObserver& observer) {
  const bool landmarks = config.landmarks.file.empty() && config.training.init.empty(),
             image = image_epochs(config) > 0;
  if (!landmarks && !image) return config;
  std::error_code error;
  fs::create_directories(folder, error);
  require<IoError>(!error, "cannot create the folder '", folder.string(), "': ", error.message());
  const FolderLock lock(folder);
  if (!lock.missing().empty()) observer.on_note(lock.missing());
  const bool settled = config.training.colour != ColourMode::automatic;
  settle_colour(config, !settled && all_grey(*open_dataset(config.data)), observer);
  FERNetConfig sizes = config.model;
  sizes.landmarks.head = true;
  FERNet model = uninitialised<FERNet>(sizes);
  model.initialise(config.training.seed);
  model.to(device);
  DrawnFaces faces(points_stage(config, 1));
  const auto once = [&](const char* stage, Module& backbone, auto&& train) {
    const fs::path weights = folder / concat(stage, ".safetensors");
    if (!fs::exists(weights, error)) {
      train(model, config, faces, folder, device, observer);
      save_weights(weights, backbone, {{input_key, to_json(input_spec(points_stage(config, 1)))}});
      fs::remove(folder / concat(stage, "-last.safetensors"), error);  // the optimizer's state is obsolete
    }
    return weights.string();
  };
  RunConfig ready = config;
  if (landmarks) ready.landmarks.file = once("landmarks", model.landmark_backbone(), train_landmarks);
  if (image) {
    ready.training.image_backbone = once("image", model.image_backbone(), train_image_backbone);
    ready.landmarks.image_epochs = 0;
  }
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
