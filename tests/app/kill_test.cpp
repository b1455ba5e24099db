// A run that is killed with SIGKILL twenty times at random moments, and resumed each time, ends with the same
// weights as an uninterrupted run, byte for byte. So does a run with another number of loader threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "app/program.h"
#include "fer/formats/state_dict.h"
#include "fer/tensor/random.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;

namespace {

/// Weights, moments and counters; the rest of a checkpoint is text (seconds spent, the folder's
/// configuration).
void check_same_tensors(const std::string& a, const std::string& b) {
  const fer::StateDict left = fer::load_state_dict(a), right = fer::load_state_dict(b);
  REQUIRE(left.size() == right.size());
  for (const auto& [name, tensor] : left) {
    const fer::Tensor* other = right.find(name);
    REQUIRE_MESSAGE(other != nullptr, name);
    REQUIRE_MESSAGE((tensor.dtype() == other->dtype() && tensor.shape() == other->shape()), name);
    CHECK_MESSAGE(std::memcmp(tensor.raw(), other->raw(), tensor.bytes()) == 0, name);
  }
}

void check_same_runs(const Folder& folder, const std::string& whole, const std::string& cut) {
  for (const char* stage : {"", "landmarks-", "image-"}) {
    const std::string best = std::string("/") + stage + "best.safetensors";
    CHECK(app_test::read_all(folder / (whole + best)) == app_test::read_all(folder / (cut + best)));
    const std::string last = std::string("/") + stage + "last.safetensors";
    check_same_tensors(folder / (whole + last), folder / (cut + last));
  }
}

}  // namespace

TEST_CASE("twenty kills leave no trace in the weights") {
  const Folder folder("kill");
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run(app_test::short_training(folder / "whole")).code == 0);
  const double undisturbed =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();

  fer::Random random({7, fer::fnv1a64("kills"), 0});
  int killed = 0, resumed_midway = 0;
  while (killed < 20) {
    const bool begun = app_test::fs::exists(folder / "cut/config.json");
    if (!begun) app_test::fs::remove_all(folder / "cut");
    const auto arguments = begun ? std::vector<std::string>{"train", "--resume", folder / "cut", "--quiet"}
                                 : app_test::short_training(folder / "cut");
    const Result result = run(arguments, 1 + static_cast<int>(random.uniform(0, undisturbed / 3)));
    resumed_midway += result.err.find("resumed at epoch") != std::string::npos ? 1 : 0;
    if (result.code == -SIGKILL) {
      ++killed;
      continue;
    }
    REQUIRE_MESSAGE(result.code == 0,
                    result.err);  // it came to its end before the kill; the next one begins anew
    check_same_runs(folder, "whole", "cut");
    app_test::fs::remove_all(folder / "cut");
  }
  CHECK(resumed_midway >= 5);  // enough kills fell between two steps, and not before the first
  const bool begun = app_test::fs::exists(folder / "cut/config.json");
  if (!begun) app_test::fs::remove_all(folder / "cut");
  const Result last = run(begun ? std::vector<std::string>{"train", "--resume", folder / "cut", "--quiet"}
                                : app_test::short_training(folder / "cut"));
  REQUIRE_MESSAGE(last.code == 0, last.err);
  check_same_runs(folder, "whole", "cut");
}

TEST_CASE("an interrupt ends a run after its step, says how to resume, and loses nothing") {
  const Folder folder("interrupt");
  auto training = app_test::short_training(folder / "whole");
  training.insert(training.end(), {"--save-every", "0"});  // only an interrupt writes within an epoch
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run(training).code == 0);
  const double undisturbed =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();

  app_test::Limits interrupt;
  const std::string resume = "; continue with: fer train --resume " + (folder / "cut") + "\n";
  *std::find(training.begin(), training.end(), folder / "whole") = folder / "cut";
  fer::Random random({9, fer::fnv1a64("interrupts"), 0});
  int in_order = 0;
  for (int tries = 0; in_order < 4 && tries < 40; ++tries) {
    const bool begun = app_test::fs::exists(folder / "cut/config.json");
    if (!begun) app_test::fs::remove_all(folder / "cut");
    interrupt.signal = tries % 2 == 0 ? SIGINT : SIGTERM;
    const Result result =
        run(begun ? std::vector<std::string>{"train", "--resume", folder / "cut", "--quiet"} : training,
            1 + static_cast<int>(random.uniform(0, undisturbed / 2)), interrupt);
    if (result.code == -interrupt.signal) continue;  // before the run had begun
    if (result.code == 0) break;
    CHECK(result.code == 128 + interrupt.signal);
    CHECK_MESSAGE(result.err.ends_with(resume), result.err);
    CHECK_MESSAGE(result.err.find("\ninterrupted in epoch ") != std::string::npos, result.err);
    ++in_order;
  }
  REQUIRE(in_order > 0);
  REQUIRE(run({"train", "--resume", folder / "cut", "--quiet"}).code == 0);
  check_same_runs(folder, "whole", "cut");
}

TEST_CASE("a signal that comes twice within a second is one request to end in order") {
  const Folder folder("twice");
  auto training = app_test::short_training(folder / "run");
  training.insert(training.end(), {"--epochs", "1000", "--save-every", "0"});
  for (const int second : {SIGTERM, SIGINT}) {
    app_test::Background program(training);
    REQUIRE(program.has_said("epoch "));
    program.send(SIGTERM);
    REQUIRE(program.has_said("stopping cleanly"));
    program.send(second);
    const Result result = program.wait();
    CHECK_MESSAGE(result.code == 128 + SIGTERM, result.err);
    CHECK_MESSAGE(result.err.ends_with("; continue with: fer train --resume " + (folder / "run") + "\n"),
                  result.err);
    training = {"train", "--resume", folder / "run"};
  }
}

TEST_CASE("one loader thread and four end with the same weights") {
  const Folder folder("threads");
  for (const char* threads : {"1", "4"}) {
    auto arguments = app_test::short_training(folder / threads);
    arguments.insert(arguments.end(), {"--loader-threads", threads});
    REQUIRE(run(arguments).code == 0);
  }
  for (const char* file :
       {"landmarks-last.safetensors", "image-last.safetensors", "best.safetensors", "last.safetensors"})
    check_same_tensors(folder / (std::string("1/") + file), folder / (std::string("4/") + file));
}

TEST_CASE("a folder in which a training writes is closed to others, and open again when it has been killed") {
  const Folder folder("locked");
  auto training = app_test::short_training(folder / "run");
  training.insert(training.end(), {"--epochs", "1000"});
  const std::string held = "fer: another fer is writing in the folder '" + (folder / "run") +
                           "'; wait until it has ended, or name another folder\n";
  app_test::Background first(training);
  REQUIRE(first.has_said("epoch 1/1000"));
  for (const auto& second : {training, std::vector<std::string>{"train", "--resume", folder / "run"}}) {
    const Result result = run(second);
    CHECK(result.code == 1);
    CHECK(result.err == held);
  }
  first.send(SIGKILL);
  CHECK(first.wait().code == -SIGKILL);
  const Result resumed = run({"train", "--resume", folder / "run", "--max-steps", "8", "--quiet"});
  CHECK_MESSAGE(resumed.code == 0, resumed.err);
}
