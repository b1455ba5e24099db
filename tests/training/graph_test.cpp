// Steps and forward passes as graphs: the same numbers as without, on devices with a queue.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "fer/formats/state_dict.h"
#include "fer/training/experiment.h"
#include "tests/ops/test_devices.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

struct Notes : TrainingObserver {
  std::vector<std::string> notes;
  std::vector<double> losses;
  void on_note(const std::string& note) override { notes.push_back(note); }
  void on_step(const StepReport& report) override {
    losses.push_back(report.loss);
    losses.push_back(report.parts.empty() ? 0 : report.parts.back().second);
  }
  bool mentions(const std::string& text) const {
    for (const std::string& note : notes) {
      if (note.find(text) != std::string::npos) return true;
    }
    return false;
  }
};

RunConfig few_steps() {
  RunConfig config;
  config.preset = "tiny";
  config.model = preset("tiny");
  config.model.fernet().attention.drop_hidden = 0.2;  // replays must draw the masks of their own steps
  config.data.train_identities = 2;
  config.data.test_identities = 1;
  config.data.faces_per_identity = 7;
  config.data.validation_fraction = 0;
  config.augment = AugmentOptions::none();
  config.training.epochs = 1;
  config.training.batch_size = 2;
  config.training.max_steps = 3;  // computed directly, captured, replayed
  config.landmarks.epochs = 1;
  config.landmarks.batch_size = 7;
  config.landmarks.identities = 1;
  return config;
}

StateDict weights_after(const RunConfig& config, Device device, Notes& notes) {
  const fs::path folder = fs::temp_directory_path() / concat("fer_test_graph_", ::getpid());
  fs::remove_all(folder);
  run_experiment(config, folder, false, device, notes);
  const StateDict weights = load_state_dict(folder / "last.safetensors");
  fs::remove_all(folder);
  return weights;
}

OP_TEST("a run whose steps are replayed ends with the weights of one whose steps are not") {
  if (device == Device::cpu) return;
  RunConfig config = few_steps();
  config.training.sam_rho = 0.05;  // two replays a step
  Notes plain, replayed;
  const StateDict expected = weights_after(config, device, plain);
  config.training.graph = true;
  const StateDict got = weights_after(config, device, replayed);
  CHECK(replayed.losses == plain.losses);
  CHECK_FALSE(replayed.mentions("not replayed"));
  REQUIRE(got.size() == expected.size());
  for (const auto& [name, tensor] : got) {
    CHECK_MESSAGE(tensor.to(DType::float64).to_vector<double>() ==
                      expected.at(name).to(DType::float64).to_vector<double>(),
                  name);
  }
}

TEST_CASE("on the CPU, a run that wants graphs goes on without and says why") {
  RunConfig config = few_steps();
  config.training.max_steps = 2;
  config.training.graph = true;
  Notes notes;
  weights_after(config, Device::cpu, notes);
  CHECK(notes.mentions("the step is not replayed as a graph: device cpu computes at once"));
}

}  // namespace
}  // namespace fer
