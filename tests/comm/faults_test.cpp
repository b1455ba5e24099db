// A rank that is killed, stops, throws, ends early or calls another collective: the other ranks end with an error
// that names it, within the time limit, and no process is left. One that only computes is waited for.
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "fer/tensor/communicator.h"

namespace fs = std::filesystem;

namespace {

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

struct Outcome {
  int code;
  double seconds;
  std::string error[2];  // of ranks 0 and 1
  bool left;             // processes
};

/// Runs fer_comm_worker on three ranks, of which the last one does `fault`.
Outcome run(const std::string& fault, const std::string& flags = "") {
  const fs::path folder = fs::temp_directory_path() / fer::concat("fer-comm-", ::getpid(), "-", fault);
  fs::remove_all(folder);
  fs::create_directories(folder);
  const auto start = std::chrono::steady_clock::now();
  const std::string command =
      fer::concat("'" FER_MPIRUN "' ", flags, " -np 3 '" FER_COMM_WORKER "' ", fault, " '", folder.string(),
                  "' > '", (folder / "log").string(), "' 2>&1");
  const int status = std::system(command.c_str());
  Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0, {}, false};
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  for (int rank = 0; rank < 3; ++rank) {
    const int pid = std::atoi(text_of(folder / fer::concat("pid-", rank, ".txt")).c_str());
    REQUIRE_MESSAGE(pid > 0, text_of(folder / "log"));
    // A process that has ended, and that no parent has asked about yet, has no command line.
    if (text_of(fer::concat("/proc/", pid, "/cmdline")).find("fer_comm_worker") != std::string::npos)
      outcome.left = true;
  }
  for (int rank = 0; rank < 2; ++rank)
    outcome.error[rank] = text_of(folder / fer::concat("rank-", rank, ".txt"));
  fs::remove_all(folder);
  return outcome;
}

/// Ranks 0 and 1 report `error`. `code`: whether mpirun says that the run failed.
void check(const Outcome& outcome, const std::string& error, bool code = true) {
  CHECK((outcome.code != 0) == code);
  CHECK(outcome.seconds < 60);
  CHECK_FALSE(outcome.left);
  for (const std::string& seen : outcome.error) CHECK(seen == error);
}

const std::string last = "rank 2 (" + host_name() + ")";
const std::string collective = "all_reduce max of 50000 float32";

}  // namespace

TEST_SUITE_BEGIN("faults");

TEST_CASE("a stopped rank") {
  check(run("stop"), "[" + collective + "] " + last + " has not answered for 3 s");
}
TEST_CASE("a rank that computes for longer than the time limit is waited for") {
  check(run("compute"), "", false);
}
TEST_CASE("a killed rank, under a launcher that does not end the others itself") {
  const Outcome outcome = run("kill", "--enable-recovery");
  check(outcome, "[" + collective + "] " + last + " was killed, or has crashed", false);
}
TEST_CASE("a killed rank, under a launcher that ends the others") {
  const Outcome outcome = run("kill");
  CHECK(outcome.code != 0);
  CHECK_FALSE(outcome.left);
}
TEST_CASE("a rank that throws") {
  check(run("throw"), last + " failed: a picture is missing");
}
TEST_CASE("a rank that ends early") {
  check(run("end"), last + " has ended and does not take part in " + collective);
}
TEST_CASE("a rank that calls another collective") {
  const Outcome outcome = run("other");
  CHECK(outcome.code != 0);
  CHECK_FALSE(outcome.left);
  for (int rank = 0; rank < 2; ++rank) {
    INFO(outcome.error[rank]);
    CHECK(outcome.error[rank].find("calls barrier") != std::string::npos);
  }
}

TEST_SUITE_END();
