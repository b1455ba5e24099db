// Runs on drawn faces with the tiny network: a run that is interrupted and resumed, or fed by another number
// of loader threads, ends with the weights of an undisturbed one, bit for bit.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fer/formats/state_dict.h"
#include "fer/training/experiment.h"

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
  config.model.attention.drop_hidden = 0.2;  // masks must be the same after a resume
  config.data.train_identities = 6;
  config.data.test_identities = 2;
  config.data.faces_per_identity = 7;
  config.data.validation = 0.2;
  config.training.epochs = 2;
  config.training.batch_size = 8;
  config.training.ema_decay = 0.9;
  config.training.save_every = 1;
  config.landmarks.epochs = 1;
  config.landmarks.batch_size = 14;
  return config;
}

/// Stops a run after some steps by an exception, as a failure at that moment would.
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

  // Each step and epoch stands in the log once, in order.
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

TEST_CASE("folders: a taken one is refused, and a resume needs a run") {
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
  config.training.schedule = "constant";
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

TEST_CASE("one batch can be learnt by heart") {
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

TEST_CASE("weights that a run wrote load as a classifier; others say what they lack") {
  const Folder folder("classifier");
  fer::TrainingObserver silent;
  fer::RunConfig config = short_run();
  config.training.max_steps = 2;
  const fer::ExperimentResult result =
      fer::run_experiment(config, folder.path, false, fer::Device::cpu, silent);
  const fer::Classifier classifier = fer::load_classifier(folder.path / "best.safetensors", fer::Device::cpu);
  CHECK(classifier.class_names == result.class_names);
  const auto test = fer::open_dataset(fer::dataset_options(config.data, fer::Split::test));
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
          ": holds tensors but does not say of which network (no 'config' and 'classes' in its metadata); "
          "weights written by 'fer train' do")
          .c_str(),
      fer::FormatError);
}
