// Several processes of which some are killed or stopped, or that are interrupted: the run ends in time, says what
// happened once, leaves no process, and goes on from its checkpoint as if nothing had been.
#include <doctest/doctest.h>

#include <cstring>

#include "app/ranks.h"
#include "fer/formats/state_dict.h"
#include "fer/tensor/random.h"

using app_test::Background;
using app_test::Folder;
using app_test::Result;
using app_test::Words;
using namespace app_test;

namespace {

constexpr double most_seconds = 90;  // for a run of seconds, on a busy machine

Words faulty_training(const std::string& folder, const std::string& limit = "3") {
  return short_training(folder) + Words{"--image-epochs", "0", "--time-limit", limit};
}

/// Long enough for a fault in the middle.
Words long_training(const std::string& folder, const std::string& limit = "3") {
  return faulty_training(folder, limit) + Words{"--epochs", "1000"};
}

Words resumed(const std::string& folder) {
  return {"train", "--resume", folder, "--quiet", "--time-limit", "3"};
}

std::string this_host() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

void check_same_weights(const std::string& a, const std::string& b) {
  CHECK(read_all(a + "/best.safetensors") == read_all(b + "/best.safetensors"));
  const fer::StateDict left = fer::load_state_dict(a + "/last.safetensors"),
                       right = fer::load_state_dict(b + "/last.safetensors");
  REQUIRE(left.size() == right.size());
  for (const auto& [name, tensor] : left)
    CHECK_MESSAGE(std::memcmp(tensor.raw(), right.find(name)->raw(), tensor.bytes()) == 0, name);
}

/// The process of a rank; waits until there is one.
pid_t process_of(const std::string& folder, int rank) {
  for (int i = 0; i < 2000; ++i) {
    const auto found = processes_of(folder);
    if (const auto at = found.find(rank); at != found.end()) return at->second;
    ::usleep(10000);
  }
  return 0;
}

/// Waits until the run has written a checkpoint of its main stage.
void reach_checkpoint(const std::string& folder) {
  for (int i = 0; i < 6000 && !fs::exists(folder + "/last.safetensors"); ++i) ::usleep(10000);
  REQUIRE(fs::exists(folder + "/last.safetensors"));
}

Result end_of(Background& program, double seconds = most_seconds) {
  REQUIRE(program.ends_within(seconds));
  return program.wait();
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_SUITE_BEGIN("processes");

TEST_CASE("a stopped process ends the run in time, with one message that names it") {
  for (const int stopped : {1, 0}) {
    const Folder folder("processes_stop");
    Background program(long_training(folder / "run") + Words{"--processes", "3"});
    reach_checkpoint(folder / "run");
    const pid_t process = process_of(folder / "run", stopped);
    REQUIRE(process > 0);
    const auto start = std::chrono::steady_clock::now();
    ::kill(process, SIGSTOP);
    const Result result = end_of(program);
    CHECK(seconds_since(start) < 3 + 8);
    CHECK(result.code == 1);
    INFO(result.err);
    CHECK(count_of(result.err, "fer: ") == 1);
    CHECK(result.err.ends_with("rank " + std::to_string(stopped) + " (" + this_host() +
                               ") has not answered for 3 s\n"));
    CHECK(none_left(folder.path.string()));
    const Result more = run(resumed(folder / "run") + Words{"--max-steps", "1"});
    CHECK_MESSAGE(more.code == 0, more.err);
  }
}

TEST_CASE("a killed process ends the run at once, with one message that names it") {
  for (const int killed : {1, 0}) {
    const Folder folder("processes_killed");
    Background program(long_training(folder / "run", "60") + Words{"--processes", "2"});
    reach_checkpoint(folder / "run");
    const pid_t process = process_of(folder / "run", killed);
    REQUIRE(process > 0);
    const auto start = std::chrono::steady_clock::now();
    ::kill(process, SIGKILL);
    const Result result = end_of(program);
    CHECK(seconds_since(start) < 10);
    CHECK(result.code == 1);
    INFO(result.err);
    CHECK(count_of(result.err, "fer: ") == 1);
    CHECK(result.err.find("rank " + std::to_string(killed) + " (" + this_host() +
                          ") was killed, or has crashed\n") != std::string::npos);
    CHECK(none_left(folder.path.string()));
  }
}

TEST_CASE("a run that is stopped as a whole, and continued, goes on") {
  const Folder folder("processes_paused");
  Background program(long_training(folder / "run") + Words{"--max-steps", "60", "--processes", "2"});
  reach_checkpoint(folder / "run");
  const auto all = processes_of(folder / "run");
  for (const auto& [rank, process] : all)
    if (rank >= 0) ::kill(process, SIGSTOP);
  ::sleep(8);
  for (const auto& [rank, process] : all)
    if (rank >= 0) ::kill(process, SIGCONT);
  const Result result = end_of(program, 300);
  CHECK_MESSAGE(result.code == 0, result.err);
}

TEST_CASE("Ctrl-C writes a checkpoint, and says how to continue; fewer and more processes do") {
  const Folder folder("processes_interrupt");
  const std::string advice = "; continue with: fer train --resume " + (folder / "run") + "\n";
  Words command = long_training(folder / "run") + Words{"--save-every", "0", "--processes", "2"};
  for (const int signal : {SIGINT, SIGTERM}) {
    Background program(command);
    REQUIRE(program.has_said(signal == SIGINT ? "data: " : "resumed at "));
    ::usleep(1'500'000);
    program.send(signal);
    const Result result = end_of(program);
    INFO(result.err);
    CHECK(result.code == 128 + signal);
    CHECK(count_of(result.err, "stopping cleanly") == 1);
    CHECK(count_of(result.err, "interrupted in epoch ") == 1);
    CHECK(result.err.ends_with(advice));
    CHECK(none_left(folder.path.string()));
    command = resumed(folder / "run") + Words{"--processes", "3"};
  }
  const Result one = run(resumed(folder / "run") + Words{"--epochs", "1"});
  CHECK_MESSAGE(one.code == 0, one.err);
}

TEST_CASE("SIGUSR1 to mpirun writes a checkpoint") {
  const Folder folder("processes_usr1");
  Background program(ranks_of_mpirun(2, long_training(folder / "run") + Words{"--save-every", "0"}),
                     by_mpirun());
  REQUIRE(program.has_said("data: "));
  ::usleep(1'500'000);
  program.send(SIGUSR1);
  const Result result = end_of(program);
  CHECK(result.code == 128 + SIGUSR1);
  CHECK_MESSAGE(count_of(result.err, "; continue with: fer train --resume " + (folder / "run") + "\n") == 1,
                result.err);
  CHECK(fs::exists(folder / "run/last.safetensors"));
}

TEST_CASE("three processes, killed, then two, then one end a run") {
  const Folder folder("processes_shrink");
  {
    Background program(long_training(folder / "run") + Words{"--epochs", "3", "--processes", "3"});
    reach_checkpoint(folder / "run");
    program.send(SIGKILL);  // the launcher's parent: all end
    CHECK(program.wait().code == -SIGKILL);
    CHECK(none_left(folder.path.string(), 30));
  }
  const Result two = run(resumed(folder / "run") + Words{"--processes", "2", "--max-steps", "10"});
  REQUIRE_MESSAGE(two.code == 0, two.err);
  const Result one = run(resumed(folder / "run") + Words{"--max-steps", "0"});
  REQUIRE_MESSAGE(one.code == 0, one.err);
  CHECK(one.err.find("resumed at epoch 3, step 10") != std::string::npos);
}

TEST_CASE("kills of random processes leave no trace in the weights, and none hangs") {
  const char* asked = std::getenv("FER_TEST_KILLS");
  const int kills = asked ? std::atoi(asked) : 3;
  const Folder folder("processes_kills");
  REQUIRE(run(faulty_training(folder / "first") + Words{"--max-steps", "1"}).code == 0);
  const auto training = [&](const std::string& to) {
    return faulty_training(to) + Words{"--landmarks", folder / "first/landmarks-best.safetensors"};
  };
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run(training(folder / "whole") + Words{"--processes", "2"}).code == 0);
  const double undisturbed = seconds_since(start);
  fer::Random random({11, fer::fnv1a64("kills of ranks"), 0});
  int ends = 0;
  for (int killed = 0; killed < kills;) {
    const bool begun = fs::exists(folder / "cut/config.json");
    if (!begun) fs::remove_all(folder / "cut");
    Background program((begun ? resumed(folder / "cut") : training(folder / "cut")) +
                       Words{"--processes", "2"});
    ::usleep(static_cast<useconds_t>(1e6 * random.uniform(0, 0.7 * undisturbed)));
    const auto victim = static_cast<int>(random.below(3));  // a rank, or all
    for (const auto& [rank, process] : processes_of(folder / "cut"))
      if (rank == victim || (victim == 2 && rank >= 0)) ::kill(process, SIGKILL);
    const Result result = end_of(program);
    CHECK(none_left(folder.path.string()));
    if (result.code != 0) {
      ++killed;
      continue;
    }
    ++ends;
    check_same_weights(folder / "whole", folder / "cut");
    fs::remove_all(folder / "cut");
  }
  const bool begun = fs::exists(folder / "cut/config.json");
  if (!begun) fs::remove_all(folder / "cut");
  const Result last =
      run((begun ? resumed(folder / "cut") : training(folder / "cut")) + Words{"--processes", "2"});
  REQUIRE_MESSAGE(last.code == 0, last.err);
  check_same_weights(folder / "whole", folder / "cut");
  MESSAGE(kills, " kills, of which ", ends, " runs reached their end between");
}

TEST_SUITE_END();
