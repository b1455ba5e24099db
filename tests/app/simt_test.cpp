// The device simt on the command line: everything that runs on the CPU also runs on the CUDA kernels, with
// the same results.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/program.h"
#include "fer/tensor/backend.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;
using nlohmann::json;

namespace {

/// Whether this build has the executor; prints a note if not.
bool has_simt() {
  std::string reason;
  if (fer::is_available(fer::Device::simt, &reason)) return true;
  MESSAGE("skipped: device simt: ", reason);
  return false;
}

/// The loss of each step of the classifier's training.
std::vector<double> losses_of(const std::string& folder) {
  std::istringstream lines(app_test::read_all(app_test::fs::path(folder) / "metrics.jsonl"));
  std::vector<double> losses;
  for (std::string line; std::getline(lines, line);) {
    const json step = json::parse(line);
    if (step["kind"] == "step" && step["stage"] == "classes") losses.push_back(step["loss"].get<double>());
  }
  return losses;
}

/// Four steps of the tiny network on drawn faces, four at a time, with dropout, flips and erasing.
Result train(const std::string& folder, const std::string& device, std::vector<std::string> more) {
  std::vector<std::string> arguments = {"train", "--preset",
                                        "tiny",  "--device",
                                        device,  "--run-dir",
                                        folder,  "--train-identities",
                                        "4",     "--test-identities",
                                        "1",     "--faces-per-identity",
                                        "7",     "--epochs",
                                        "1",     "--batch-size",
                                        "4",     "--max-steps",
                                        "4",     "--validation",
                                        "0",     "--drop-hidden",
                                        "0.3",   "--drop-mlp",
                                        "0.5",   "--quiet"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run(arguments);
}

}  // namespace

TEST_CASE("train, eval and predict --device simt: the same losses, figures and probabilities as on the CPU") {
  if (!has_simt()) return;
  const Folder folder("simt_train");
  // The landmark backbone is trained once, so that both networks start from the same.
  const Result first =
      train(folder / "landmarks", "cpu", {"--landmark-epochs", "1", "--landmark-batch-size", "8"});
  REQUIRE_MESSAGE(first.code == 0, first.err);
  const std::string landmarks = folder / "landmarks/landmarks-best.safetensors";
  for (const char* device : {"cpu", "simt"}) {
    const Result result = train(folder / device, device, {"--landmarks", landmarks});
    REQUIRE_MESSAGE(result.code == 0, result.err);
  }
  const std::vector<double> expected = losses_of(folder / "cpu"), got = losses_of(folder / "simt");
  REQUIRE(got.size() == 4);
  REQUIRE(expected.size() == 4);
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(got[i] - expected[i]) < 1e-4);
  }

  const std::string weights = folder / "cpu/best.safetensors";
  REQUIRE(run({"faces", "--sheet", folder / "face.png", "--identities", "1", "--per-identity", "1"}).code ==
          0);
  const auto predict = [&](const std::string& device) {
    const Result result =
        run({"predict", "--weights", weights, folder / "face.png", "--json", "--device", device});
    REQUIRE_MESSAGE(result.code == 0, result.err);
    return json::parse(result.out)[0]["faces"][0];
  };
  const json on_cpu = predict("cpu"), on_simt = predict("simt");
  REQUIRE(on_cpu["probabilities"].size() == 7);
  for (const auto& [name, p] : on_cpu["probabilities"].items()) {
    CHECK(std::abs(on_simt["probabilities"][name].get<double>() - p.get<double>()) < 1e-4);
  }
  const Result eval = run({"eval", "--weights", weights, "--dataset", "faces", "--test-identities", "1",
                           "--faces-per-identity", "7", "--device", "simt"});
  CHECK_MESSAGE(eval.code == 0, eval.err);
}

TEST_CASE("gradcheck and bench --device simt") {
  if (!has_simt()) return;
  const Result checks = run({"gradcheck", "--only", "prelu", "--device", "simt", "--json"});
  REQUIRE_MESSAGE(checks.code == 0, checks.err);
  for (const json& c : json::parse(checks.out)["cases"]) CHECK(c["ok"] == true);
  const Result ops = run({"bench", "ops", "--preset", "small", "--batch", "1", "--only", "adam", "--seconds",
                          "0.01", "--device", "simt", "--json"});
  REQUIRE_MESSAGE(ops.code == 0, ops.err);
  CHECK(json::parse(ops.out)["measurements"].size() == 1);
}
