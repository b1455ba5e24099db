// Runs on drawn faces with the tiny network: a run that is interrupted and resumed, or has another number of
// loader threads, ends with the same weights as an uninterrupted run, bit for bit.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fer/formats/atomic_file.h"
#include "fer/formats/state_dict.h"
#include "fer/inference/classifier.h"
#include "fer/training/experiment.h"
#include "fer/training/run_log.h"

namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() / fer::concat("fer_test_", ::getpid(), "_", name)) {
    fs::remove_all(path);
  }
  ~Folder() { fs::remove_all(path); }
};

fer::RunConfig short_run() {
  fer::RunConfig config;
  config.preset = "tiny";
  config.model = fer::preset("tiny");
  config.model.fernet().attention.drop_hidden = 0.2;  // masks must be the same after a resume
  config.data.train_identities = 6;
  config.data.test_identities = 2;
  config.data.faces_per_identity = 7;
  config.data.validation_fraction = 0.2;
  config.training.epochs = 2;
  config.training.batch_size = 8;
  config.training.ema_decay = 0.9;
  config.training.save_every = 1;
  config.landmarks.epochs = 1;
  config.landmarks.batch_size = 14;
  return config;
}

/// Stops a run after some steps with an exception, like a failure at that moment.
struct StopAfter : fer::TrainingObserver {
  explicit StopAfter(int count) : steps(count) {}
  int steps;
  void on_step(const fer::StepReport&) override {
    if (--steps == 0) throw fer::Error("stopped by the test");
  }
};

void check_equal_weights(const fs::path& a, const fs::path& b) {
  const fer::StateDict x = fer::load_state_dict(a), y = fer::load_state_dict(b);
  REQUIRE(x.size() == y.size());
  for (const auto& [name, tensor] : x) {
    CHECK_MESSAGE(tensor.to(fer::DType::float64).to_vector<double>() ==
                      y.at(name).to(fer::DType::float64).to_vector<double>(),
                  name);
  }
}

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("interrupted and resumed at many steps, a run ends the same; so with other loader threads") {
  const Folder undisturbed("undisturbed"), disturbed("disturbed"), threads("threads");
  fer::TrainingObserver silent;
  fer::run_experiment(short_run(), undisturbed.path, false, fer::Device::cpu, silent);

  bool resume = false;
  for (int steps : {1, 2, 1, 3}) {
    StopAfter stop(steps);
    CHECK_THROWS_WITH_AS(fer::run_experiment(short_run(), disturbed.path, resume, fer::Device::cpu, stop),
                         "stopped by the test", fer::Error);
    resume = true;
  }
  fer::run_experiment(short_run(), disturbed.path, true, fer::Device::cpu, silent);
  check_equal_weights(undisturbed.path / "last.safetensors", disturbed.path / "last.safetensors");
  CHECK(contents(undisturbed.path / "best.safetensors") == contents(disturbed.path / "best.safetensors"));

  // Each step and epoch is in the log once, in order.
  std::ifstream log(disturbed.path / "metrics.jsonl");
  int lines = 0;
  for (std::string line; std::getline(log, line);) ++lines;
  std::ifstream whole_log(undisturbed.path / "metrics.jsonl");
  int whole = 0;
  for (std::string line; std::getline(whole_log, line);) ++whole;
  CHECK(lines == whole);

  fer::RunConfig other = short_run();
  other.training.loader_threads = 4;
  fer::run_experiment(other, threads.path, false, fer::Device::cpu, silent);
  check_equal_weights(undisturbed.path / "last.safetensors", threads.path / "last.safetensors");
}

TEST_CASE(
    "a run ended by max_steps within an epoch continues from there with more steps, and ends the same") {
  const Folder undisturbed("at_once"), cut("cut");
  fer::RunConfig config = short_run();
  config.training.save_every = 0;
  SUBCASE("with a validation split") {}
  SUBCASE("without one the last epoch is the best") {
    config.data.validation_fraction = 0;
  }
  fer::TrainingObserver silent;
  fer::run_experiment(config, undisturbed.path, false, fer::Device::cpu, silent);

  const std::int64_t batches = config.data.validation_fraction > 0 ? 4 : 5;
  bool resume = false;
  for (const std::int64_t steps : {std::int64_t{1}, std::int64_t{3}, std::int64_t{3}, batches + 2}) {
    fer::RunConfig shorter = config;
    shorter.training.max_steps = steps;
    const fer::ExperimentResult result =
        fer::run_experiment(shorter, cut.path, resume, fer::Device::cpu, silent);
    CHECK(result.training.steps == steps);
    // An incomplete epoch becomes the best one only if there is no other.
    const bool second = steps > batches && config.data.validation_fraction == 0;
    CHECK(result.training.best_epoch == (second ? 2 : 1));
    resume = true;
    fer::RunConfig written;
    fer::apply_json(written, contents(cut.path / "config.json"), "config.json");
    CHECK(written.training.max_steps == steps);
  }
  fer::run_experiment(config, cut.path, true, fer::Device::cpu, silent);
  check_equal_weights(undisturbed.path / "last.safetensors", cut.path / "last.safetensors");
  check_equal_weights(undisturbed.path / "best.safetensors", cut.path / "best.safetensors");
  const fer::RunLog left = fer::read_run(undisturbed.path), right = fer::read_run(cut.path);
  REQUIRE(left.steps.size() == right.steps.size());
  for (std::size_t i = 0; i < left.steps.size(); ++i) {
    CHECK(left.steps[i].loss == right.steps[i].loss);
    CHECK(left.steps[i].lr == right.steps[i].lr);
  }
  REQUIRE(left.epochs.size() == right.epochs.size());
  for (std::size_t i = 0; i < left.epochs.size(); ++i) {
    CHECK(left.epochs[i].train_loss == right.epochs[i].train_loss);
    CHECK(left.epochs[i].best == right.epochs[i].best);
  }
}

TEST_CASE("a run can continue with another batch size at the start of an epoch, but not within one") {
  const Folder folder("batches");
  fer::TrainingObserver silent;
  fer::RunConfig config = short_run();
  config.training.max_steps = 3;
  fer::run_experiment(config, folder.path, false, fer::Device::cpu, silent);
  const auto settings = fer::read_file(folder.path / "config.json");
  config.training.batch_size = 16;
  config.training.max_steps = 0;
  CHECK_THROWS_WITH_AS(
      fer::run_experiment(config, folder.path, true, fer::Device::cpu, silent),
      fer::concat(
          (folder.path / "last.safetensors").string(),
          ": was saved within an epoch of 4 batches, but an epoch has 2 now; resume with the data and "
          "the batch size that it was started with")
          .c_str(),
      fer::ConfigError);
  CHECK(fer::read_file(folder.path / "config.json") == settings);  // not those that were refused
  config.training.batch_size = 8;
  config.training.max_steps = 4;
  fer::run_experiment(config, folder.path, true, fer::Device::cpu, silent);
  config.training.batch_size = 16;
  config.training.max_steps = 0;
  const auto result = fer::run_experiment(config, folder.path, true, fer::Device::cpu, silent);
  CHECK(result.training.steps == 4 + 2);  // an epoch of each
}

TEST_CASE("without a validation split the last epoch is the best, after a resume as well") {
  const Folder folder("no_split");
  fer::TrainingObserver silent;
  fer::RunConfig config = short_run();
  config.data.validation_fraction = 0;
  fer::run_experiment(config, folder.path, false, fer::Device::cpu, silent);
  config.training.epochs = 3;
  const auto result = fer::run_experiment(config, folder.path, true, fer::Device::cpu, silent);
  CHECK(result.training.best_epoch == 3);
}

TEST_CASE("folders: a used folder is refused, and a resume needs a run") {
  const Folder taken("taken");
  fs::create_directories(taken.path);
  std::ofstream(taken.path / "notes.txt") << "mine";
  fer::TrainingObserver silent;
  CHECK_THROWS_WITH_AS(fer::run_experiment(short_run(), taken.path, false, fer::Device::cpu, silent),
                       fer::concat("the run folder '", taken.path.string(),
                                   "' is not empty; resume its run with --resume, or name another folder")
                           .c_str(),
                       fer::IoError);
  CHECK_THROWS_WITH_AS(
      fer::run_experiment(short_run(), taken.path, true, fer::Device::cpu, silent),
      fer::concat("cannot resume '", taken.path.string(), "': it holds no config.json").c_str(),
      fer::IoError);
  CHECK(fs::exists(taken.path / "notes.txt"));
}

TEST_CASE("a loss that is not finite stops the run and names the batch") {
  const Folder folder("nonfinite");
  fer::RunConfig config = short_run();
  config.training.lr = 1e30;
  config.training.warmup_epochs = 0;
  config.training.schedule = fer::ScheduleKind::constant;
  fer::TrainingObserver silent;
  try {
    fer::run_experiment(config, folder.path, false, fer::Device::cpu, silent);
    FAIL("the run went on");
  } catch (const fer::NumericError& error) {
    const std::string message = error.what();
    CHECK(message.find("the loss is") == 0);
    CHECK(message.find("epoch 1, batch ") != std::string::npos);
    CHECK(message.find("samples person ") != std::string::npos);
  }
}

TEST_CASE("clip_norm bounds the gradient that sharpness-aware minimisation steps by, too") {
  fer::TrainingObserver silent;
  fer::RunConfig config = short_run();
  config.training.optimizer = fer::OptimizerKind::sgd;
  config.training.momentum = config.training.ema_decay = 0;
  config.training.sam_rho = 0.05;
  config.training.clip_norm = 1e-9;
  std::vector<std::vector<float>> heads;
  for (const std::int64_t steps : {1, 4}) {
    const Folder folder("clip");
    config.training.max_steps = steps;
    fer::run_experiment(config, folder.path, false, fer::Device::cpu, silent);
    heads.push_back(
        fer::load_state_dict(folder.path / "last.safetensors").at("head.weight").to_vector<float>());
  }
  for (std::size_t i = 0; i < heads[0].size(); ++i)
    CHECK(heads[1][i] == doctest::Approx(heads[0][i]).epsilon(1e-6));
}

TEST_CASE("a network can overfit one batch") {
  const Folder folder("overfit");
  fer::RunConfig config = short_run();
  config.training.overfit_batch = true;
  config.training.epochs = 40;
  config.training.ema_decay = 0;
  config.training.save_every = 0;
  config.training.lr = 3e-3;
  struct Last : fer::TrainingObserver {
    double loss = 0;
    void on_epoch(const fer::EpochReport& report) override { loss = report.train_loss; }
  } last;
  fer::run_experiment(config, folder.path, false, fer::Device::cpu, last);
  CHECK(last.loss < 0.3);
}

TEST_CASE("weights that a run wrote load as a classifier; for others the error says what they lack") {
  const Folder folder("classifier");
  fer::TrainingObserver silent;
  fer::RunConfig config = short_run();
  config.training.max_steps = 2;
  const fer::ExperimentResult result =
      fer::run_experiment(config, folder.path, false, fer::Device::cpu, silent);
  const fer::Classifier classifier = fer::load_classifier(folder.path / "best.safetensors", fer::Device::cpu);
  CHECK(classifier.class_names == result.class_names);
  const auto test = fer::open_dataset(fer::evaluation_data(config.data, fer::Split::test));
  const fer::SamplePrediction one = classifier.predict(test->sample(3).image);
  REQUIRE(one.probabilities.size() == 7);
  for (std::size_t c = 0; c < 7; ++c) {  // alone and in a batch products may round differently
    CHECK(one.probabilities[c] == doctest::Approx(result.best.samples[3].probabilities[c]).epsilon(1e-4));
  }

  fer::StateDict bare;
  bare.insert("w", fer::Tensor::zeros({2}));
  fer::save_state_dict(folder.path / "bare.safetensors", bare);
  CHECK_THROWS_WITH_AS(
      fer::load_classifier(folder.path / "bare.safetensors", fer::Device::cpu),
      fer::concat(
          (folder.path / "bare.safetensors").string(),
          ": has tensors but does not say of which network (no 'config' and 'classes' in its metadata); "
          "weights written by 'fer train' do")
          .c_str(),
      fer::FormatError);
}
