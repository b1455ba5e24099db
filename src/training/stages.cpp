#include "training/stages.h"

#include <algorithm>
#include <cmath>

#include "fer/losses/losses.h"
#include "fer/models/mobile_face_net.h"
#include "fer/models/points_net.h"
#include "fer/training/experiment.h"
#include "fer/training/metrics.h"
#include "fer/training/network_description.h"

namespace fer {

/// Training and test faces, drawn once for all landmark stages.
struct DrawnFaces {
  DrawnFaces(const RunConfig& stage, const Communicator& ranks)
      : cache(std::make_shared<SampleCache>()),
        train(open_dataset(stage.data), with_cache(training_loader_options(stage, ranks))),
        test(open_dataset(evaluation_data(stage.data, Split::test)),
             with_cache(evaluation_loader_options(stage, ranks))) {}
  LoaderOptions with_cache(LoaderOptions options) const {
    options.cache = cache;
    return options;
  }

  std::shared_ptr<SampleCache> cache;
  DataLoader train, test;
};

StageContext::StageContext(const RunConfig& run_config, Network& whole, std::filesystem::path run_folder,
                           Device run_device, TrainingObserver& run_observer, Communicator& run_ranks)
    : config(run_config),
      network(whole),
      folder(std::move(run_folder)),
      device(run_device),
      observer(run_observer),
      ranks(run_ranks) {}
StageContext::~StageContext() = default;

DrawnFaces& StageContext::drawn_faces() {
  if (!drawn_) drawn_ = std::make_unique<DrawnFaces>(landmark_settings(config, 1), ranks);
  return *drawn_;
}

std::shared_ptr<SampleCache> StageContext::release_drawn_faces() {
  const bool same_pictures = drawn_ && config.data.name == "faces";
  std::shared_ptr<SampleCache> cache = same_pictures ? drawn_->cache : nullptr;
  drawn_.reset();
  return cache;
}

namespace {

constexpr const char *landmark_stage = "landmarks", *image_stage = "image";

/// Trains a network that finds the 68 points of a face.
template <typename Net>
class PointsTask final : public Task {
 public:
  PointsTask(std::string stage, Net& net, DataLoader& validation, const InputSpec& input,
             const StageContext& run)
      : stage_(std::move(stage)),
        net_(net),
        validation_(validation),
        input_(input),
        device_(run.device),
        ranks_(run.ranks) {}

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
      if (batch->indices.empty()) continue;  // of a small last batch, other ranks have all samples
      const Variable points = net_(Variable(network_input(*batch, device_)));
      const double n = static_cast<double>(batch->indices.size());
      error += n * normalised_mean_error(points.value(), batch->landmarks);
      count += n;
    }
    Tensor sums = Tensor::from<double>({2}, {error, count});
    ranks_.all_reduce(sums);
    const double mean = sums.data<double>()[0] / sums.data<double>()[1];
    return {{{"normalised_mean_error", mean}}, -mean};
  }

 private:
  std::string stage_;
  Net& net_;
  DataLoader& validation_;
  InputSpec input_;
  Device device_;
  Communicator& ranks_;
  LandmarkLoss criterion_;
};

/// Sets the batch norm behind the landmark head's last layer to the mean and spread of the points of the
/// first pictures. Adam moves a parameter by about lr per step. From 1 and 0 it would take hundreds of steps
/// to reach a mean face, and learn nothing else meanwhile.
void start_at_mean_face(MobileFaceNet& net, DataLoader& loader, Communicator& ranks) {
  constexpr std::int64_t enough = 256, points = 136;
  Tensor sums = Tensor::zeros({2, points}, DType::float64);
  double *sum = sums.mutable_data<double>(), *squares = sum + points;
  std::int64_t count = 0;  // of all ranks
  for (loader.start(0); count < enough;) {
    const std::optional<Batch> batch = loader.next();
    if (!batch) break;
    const std::vector<float> values = batch->landmarks.to_vector<float>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum[i % points] += values[i];
      squares[i % points] += static_cast<double>(values[i]) * values[i];
    }
    count += batch->global_size;
  }
  ranks.all_reduce(sums);
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

LoopResult train_landmarks(StageContext& run) {
  const RunConfig stage = landmark_settings(run.config, run.config.landmarks.epochs);
  MobileFaceNet& net = *run.network.landmark_net();
  DrawnFaces& faces = run.drawn_faces();
  start_at_mean_face(net, faces.train, run.ranks);
  PointsTask task(landmark_stage, net, faces.test, input_spec(stage), run);
  return run_training(task, faces.train, stage.training, run.folder, run.observer, run.ranks);
}

/// Trains the image backbone through a head that is then discarded.
LoopResult train_image_backbone(StageContext& run) {
  const RunConfig stage = landmark_settings(run.config, image_epochs(run.config));
  IRBackbone& backbone = *run.network.pretrainable();
  PointsNet net = uninitialised<PointsNet>(backbone.config(), stage.model.image_size());
  net.initialise(run.config.training.seed);
  net.to(run.device);
  DrawnFaces& faces = run.drawn_faces();
  PointsTask task(image_stage, net, faces.test, input_spec(stage), run);
  LoopResult result = run_training(task, faces.train, stage.training, run.folder, run.observer, run.ranks);
  // The network's backbone may hold layers that never run.
  backbone.load_state_dict(net.image_backbone().state_dict(), /*strict=*/false);
  return result;
}

}  // namespace

RunConfig landmark_settings(const RunConfig& config, std::int64_t epochs) {
  RunConfig stage = config;
  stage.data.name = "faces";
  stage.model.set_image_size(config.model.backbone_size());
  stage.data.validation_fraction = 0;
  if (config.data.name != "faces") stage.data.train_identities = config.landmarks.identities;
  stage.training.epochs = epochs;
  stage.training.batch_size = config.landmarks.batch_size;
  stage.training.lr = config.landmarks.lr;
  stage.training.optimizer = OptimizerKind::adam;
  stage.training.schedule = ScheduleKind::cosine;
  // These apply to the main stage only.
  stage.training.weight_decay = stage.training.sam_rho = stage.training.ema_decay = 0;
  stage.training.max_steps = 0;
  stage.training.face_share = 0;
  stage.training.balanced = stage.training.overfit_batch = false;
  stage.augment = AugmentOptions{};  // defaults: flips and erasing teach mirrored and occluded faces
  return stage;
}

std::vector<Stage> landmark_stages(const RunConfig& config, Network& network) {
  std::vector<Stage> stages;
  const bool begins_here = config.landmarks.file.empty() && config.training.init.empty();
  if (network.landmark_net() && begins_here) {
    stages.push_back(
        {landmark_stage,
         "landmark backbone: no checkpoint given, training it on the points of drawn faces first",
         network.landmark_net(), train_landmarks});
  }
  if (network.pretrainable() && image_epochs(config) > 0) {
    stages.push_back({image_stage, "image backbone: it learns the points of drawn faces first",
                      network.pretrainable(), train_image_backbone});
  }
  return stages;
}

}  // namespace fer
