// A training that ranks share is that of one process. ctest runs this program under mpirun with two and three ranks;
// each rank also computes, by itself, what one process computes.
#include <doctest/doctest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "fer/autograd/global_batch.h"
#include "fer/losses/losses.h"
#include "fer/models/fernet.h"
#include "fer/training/experiment.h"
#include "tests/models/reference_fill.h"

namespace fer::test {
namespace {

namespace fs = std::filesystem;

Communicator& ranks() {
  static const auto made = make_communicator({std::chrono::milliseconds(120'000)});
  return *made;
}

/// A folder of this rank.
struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() / concat("fer_ranks_", ::getpid(), "_", name)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
};

/// The classes of drawn faces, in the type and on the device of the network.
class FacesTask final : public Task {
 public:
  FacesTask(FERNet& network, const FERLossConfig& loss) : network_(network), criterion_(loss) {}
  std::string stage() const override { return main_stage; }
  Module& model() override { return network_; }
  std::vector<Tensor> inputs(const Batch& batch) override {
    const Tensor& weight = network_.parameters().front().value();
    return {network_input(batch, weight.device()).to(weight.dtype()), batch.labels.to(weight.device())};
  }
  LossResult loss(const std::vector<Tensor>& inputs) override {
    const NetworkOutput out = network_(Variable(inputs[0]));
    const FERLossParts parts = criterion_(out.scores, out.token, inputs[1]);
    return {parts.total,
            {{"cross_entropy", parts.cross_entropy}, {"anchor", parts.anchor}, {"neutral", parts.neutral}}};
  }
  Evaluation evaluate() override { return {}; }

 private:
  FERNet& network_;
  FERLoss criterion_;
};

struct Curve : TrainingObserver {
  std::vector<StepReport> steps;
  void on_step(const StepReport& report) override { steps.push_back(report); }
};

struct Trained {
  Curve curve;
  std::vector<std::pair<std::string, std::vector<double>>> state;
};

struct Settings {
  DType dtype = DType::float64;
  Device device = Device::cpu;
  bool checkpointing = false, bf16_gradients = false;
  std::int64_t max_steps = 0;
};

/// Everything that looks beyond a sample is on: batch norm, NeAA, dropout, SAM, EMA, clipping.
Trained train(Communicator& shared, const Settings& settings) {
  RunConfig config;
  config.preset = "tiny";
  config.model = preset("tiny");
  DualAttentionConfig& attention = config.model.fernet().attention;
  attention.drop_attention = attention.drop_hidden = attention.drop_mlp = 0.2;
  config.data.train_identities = 4;
  config.data.faces_per_identity = 7;
  config.augment.flip = config.augment.erase = 0.5;
  config.training.epochs = 2;
  config.training.batch_size = 8;
  config.training.sam_rho = 0.05;
  config.training.ema_decay = 0.9;
  config.training.clip_norm = 0.5;
  config.training.seed = 5;
  config.training.bf16_gradients = settings.bf16_gradients;
  config.training.max_steps = settings.max_steps;

  FERNet network(config.model.fernet());
  network.to(DType::float64);
  fill_as_reference(network, "golden/");  // with random weights, a difference in the last digit grows fast
  network.to(settings.dtype);
  network.to(settings.device);
  network.freeze_landmarks();
  network.set_checkpointing(settings.checkpointing);
  const auto faces = open_dataset(config.data);
  LoaderOptions options = training_loader_options(config, shared);
  options.drop_last = false;  // 28 faces: a last batch of 4
  DataLoader loader(faces, options);
  FacesTask task(network, {.weight = 0.1, .neutral = faces->info().neutral});
  const Folder folder(concat("of-", shared.size()));
  Trained trained;
  run_training(task, loader, config.training, folder.path, trained.curve, shared);
  for (const auto& [name, tensor] : network.state_dict())
    trained.state.emplace_back(name, tensor.to(DType::float64).to_vector<double>());
  return trained;
}

double deviation(double a, double b) {
  return std::abs(a - b) / std::max(1.0, std::abs(b));
}

/// The largest deviation of a loss, a part of it, or a norm.
double curve_deviation(const Trained& shared, const Trained& alone) {
  REQUIRE(shared.curve.steps.size() == alone.curve.steps.size());
  double worst = 0;
  for (std::size_t step = 0; step < alone.curve.steps.size(); ++step) {
    const StepReport &a = shared.curve.steps[step], &b = alone.curve.steps[step];
    worst = std::max({worst, deviation(a.loss, b.loss), deviation(a.gradient_norm, b.gradient_norm)});
    for (std::size_t part = 0; part < b.parts.size(); ++part)
      worst = std::max(worst, deviation(a.parts[part].second, b.parts[part].second));
  }
  return worst;
}

/// The largest deviation of a weight or a running statistic.
double state_deviation(const Trained& shared, const Trained& alone) {
  double worst = 0;
  for (std::size_t i = 0; i < alone.state.size(); ++i)
    for (std::size_t k = 0; k < alone.state[i].second.size(); ++k)
      worst = std::max(worst, deviation(shared.state[i].second[k], alone.state[i].second[k]));
  return worst;
}

}  // namespace

TEST_SUITE_BEGIN("training");

TEST_CASE("in float64, ranks train as one process does, twice the same, also with recomputed activations") {
  const Trained alone = train(one_process(), {}), shared = train(ranks(), {});
  REQUIRE(alone.curve.steps.size() == 8);
  CHECK(alone.curve.steps.front().gradient_norm > 0.5);  // or nothing would be clipped
  CHECK(curve_deviation(shared, alone) < 1e-9);
  CHECK(state_deviation(shared, alone) < 1e-9);
  const Trained again = train(ranks(), {});
  CHECK(again.state == shared.state);  // bit for bit
  const Trained recomputed = train(ranks(), {.checkpointing = true});
  CHECK(curve_deviation(recomputed, alone) < 1e-9);
  CHECK(state_deviation(recomputed, alone) < 1e-9);
}

TEST_CASE("in float32 and with bfloat16 gradients, the losses follow those of one process") {
  const Trained alone = train(one_process(), {.dtype = DType::float32}),
                shared = train(ranks(), {.dtype = DType::float32}),
                halves = train(ranks(), {.dtype = DType::float32, .bf16_gradients = true});
  CHECK(curve_deviation(shared, alone) < 1e-3);
  CHECK(curve_deviation(halves, alone) < 2e-2);
  CHECK((ranks().size() == 1) == (halves.state == shared.state));
}

TEST_CASE("on the device simt, ranks train as on the CPU") {
  std::string reason;
  if (!is_available(Device::simt, &reason)) {
    MESSAGE("skipped: device simt: ", reason);
    return;
  }
  const Trained alone = train(one_process(), {.dtype = DType::float32, .max_steps = 2}),
                shared = train(ranks(), {.dtype = DType::float32, .device = Device::simt, .max_steps = 2});
  CHECK(curve_deviation(shared, alone) < 1e-3);
}

TEST_CASE("a batch with fewer samples than processes is refused") {
  if (ranks().size() == 1) return;
  CHECK_THROWS_WITH_AS(GlobalBatch(ranks(), 0, 0, 1),
                       concat("rank ", ranks().rank(), " of ", ranks().size(),
                              " has no sample of a batch of 1; a batch must have one for each process")
                           .c_str(),
                       ConfigError);
}

TEST_SUITE_END();

}  // namespace fer::test
