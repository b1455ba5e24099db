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

/// The classes of drawn faces, in float64.
class DoubleTask final : public Task {
 public:
  DoubleTask(FERNet& network, const FERLossConfig& loss) : network_(network), criterion_(loss) {}
  std::string stage() const override { return main_stage; }
  Module& model() override { return network_; }
  std::vector<Tensor> inputs(const Batch& batch) override {
    return {network_input(batch, Device::cpu).to(DType::float64), batch.labels};
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

/// Everything that looks beyond a sample is on: batch norm, NeAA, dropout, SAM, EMA, clipping.
Trained train(Communicator& shared, bool checkpointing) {
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

  FERNet network(config.model.fernet());
  network.to(DType::float64);
  fill_as_reference(network, "golden/");  // with random weights, a difference in the last digit grows fast
  network.freeze_landmarks();
  network.set_checkpointing(checkpointing);
  const auto faces = open_dataset(config.data);
  LoaderOptions options = training_loader_options(config, shared);
  options.drop_last = false;  // 28 faces: a last batch of 4
  DataLoader loader(faces, options);
  DoubleTask task(network, {.weight = 0.1, .neutral = faces->info().neutral});
  const Folder folder(concat("of-", shared.size()));
  Trained trained;
  run_training(task, loader, config.training, folder.path, trained.curve, shared);
  for (const auto& [name, tensor] : network.state_dict())
    trained.state.emplace_back(name, tensor.to_vector<double>());
  return trained;
}

double deviation(double a, double b) {
  return std::abs(a - b) / std::max(1.0, std::abs(b));
}

void check_equal(const Trained& shared, const Trained& alone) {
  REQUIRE(alone.curve.steps.size() == 8);
  REQUIRE(shared.curve.steps.size() == 8);
  for (std::size_t step = 0; step < 8; ++step) {
    const StepReport &a = shared.curve.steps[step], &b = alone.curve.steps[step];
    INFO("step ", step);
    CHECK(deviation(a.loss, b.loss) < 1e-9);
    CHECK(deviation(a.gradient_norm, b.gradient_norm) < 1e-9);
    for (std::size_t part = 0; part < b.parts.size(); ++part)
      CHECK_MESSAGE(deviation(a.parts[part].second, b.parts[part].second) < 1e-9, b.parts[part].first);
  }
  CHECK(alone.curve.steps.front().gradient_norm > 0.5);  // or nothing would be clipped
  double worst = 0;
  for (std::size_t i = 0; i < alone.state.size(); ++i)
    for (std::size_t k = 0; k < alone.state[i].second.size(); ++k)
      worst = std::max(worst, deviation(shared.state[i].second[k], alone.state[i].second[k]));
  CHECK(worst < 1e-9);
  MESSAGE("largest deviation of a weight or a statistic: ", worst);
}

}  // namespace

TEST_SUITE_BEGIN("training");

TEST_CASE("in float64, ranks train as one process does, and twice the same") {
  const Trained alone = train(one_process(), false), shared = train(ranks(), false);
  check_equal(shared, alone);
  const Trained again = train(ranks(), false);
  CHECK(again.state == shared.state);  // bit for bit
}

TEST_CASE("so with activations that are recomputed") {
  check_equal(train(ranks(), true), train(one_process(), false));
}

TEST_CASE("a batch with fewer samples than processes is refused") {
  if (ranks().size() == 1) return;
  CHECK_THROWS_WITH_AS(GlobalBatch(ranks(), 0, 0, 1),
                       concat("a batch of 1 samples cannot be shared by ", ranks().size(),
                              " processes: rank ", ranks().rank(), " has none")
                           .c_str(),
                       ConfigError);
}

TEST_SUITE_END();

}  // namespace fer::test
