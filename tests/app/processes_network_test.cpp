// Two machines: network namespaces that a cable of veth joins, with mpirun in one and its daemon in the other.
// Skipped where the test may not make namespaces.
#include <doctest/doctest.h>

#include "app/ranks.h"

using app_test::Background;
using app_test::Folder;
using app_test::Result;
using app_test::Words;
using namespace app_test;

namespace {

int shell(const std::string& command) {
  return std::system(("(" + command + ") 2> /dev/null").c_str());
}

/// node1 with 10.213.7.1 and node2 with 10.213.7.2.
class TwoMachines {
 public:
  TwoMachines() : one_(name(1)), two_(name(2)), agent_(folder_ / "agent") {
    made_ = shell("ip netns add " + one_) == 0 && shell("ip netns add " + two_) == 0 &&
            shell("ip link add " + one_ + " netns " + one_ + " type veth peer name " + two_ + " netns " +
                  two_) == 0 &&
            up(one_, "10.213.7.1") && up(two_, "10.213.7.2") && shell("unshare --uts true") == 0;
    // mpirun calls it as it would ssh.
    std::ofstream(agent_) << "#!/bin/sh\nshift\nexec ip netns exec " << two_
                          << " unshare --uts sh -c \"hostname node2; $*\"\n";
    fs::permissions(agent_, fs::perms::owner_all);
  }
  ~TwoMachines() {
    for (const std::string& machine : {one_, two_}) shell("ip netns del " + machine);
  }
  TwoMachines(const TwoMachines&) = delete;
  TwoMachines& operator=(const TwoMachines&) = delete;

  /// Whether they could be made; a note otherwise.
  bool made() const {
    if (!made_) MESSAGE("skipped: this user cannot make network namespaces (ip netns, unshare --uts)");
    return made_;
  }
  void cut() const { REQUIRE(shell("ip -n " + two_ + " link set " + two_ + " down") == 0); }
  void mend() const { REQUIRE(shell("ip -n " + two_ + " link set " + two_ + " up") == 0); }

  /// Arguments of `ip` that run the command with one process on each machine.
  Words with_mpirun(const Words& command) const {
    std::string line =
        "hostname node1; exec '" FER_MPIRUN "' --mca plm_rsh_agent '" + agent_ +
        "' --mca btl tcp,self --mca pml ob1 --mca oob_tcp_if_include 10.213.7.0/24"
        " --mca btl_tcp_if_include 10.213.7.0/24 -np 2 --host 10.213.7.1,10.213.7.2 --bind-to none";
    for (const std::string& word : command) line += " '" + word + "'";
    return {"netns", "exec", one_, "unshare", "--uts", "sh", "-c", line};
  }
  static Limits limits() {
    Limits limits = by_mpirun();
    limits.program = "/usr/bin/env";
    return limits;
  }

 private:
  static std::string name(int machine) {
    return "fer" + std::to_string(::getpid() % 1'000'000) + "n" + std::to_string(machine);
  }
  static bool up(const std::string& machine, const std::string& address) {
    return shell("ip -n " + machine + " addr add " + address + "/24 dev " + machine) == 0 &&
           shell("ip -n " + machine + " link set " + machine + " up") == 0 &&
           shell("ip -n " + machine + " link set lo up") == 0;
  }

  Folder folder_{"processes_machines"};
  std::string one_, two_, agent_;
  bool made_ = false;
};

/// Waits until all ranks have ended; false if some have not after `seconds`.
bool ranks_end(const std::string& folder, double seconds) {
  for (double waited = 0; waited < seconds; waited += 0.05) {
    const auto left = processes_of(folder);
    if (left.upper_bound(-1) == left.end()) return true;
    ::usleep(50000);
  }
  return false;
}

}  // namespace

TEST_SUITE_BEGIN("processes");

TEST_CASE(
    "two machines train; when the cable between them is cut, all processes end in time and name the lost "
    "one") {
  const TwoMachines machines;
  if (!machines.made()) return;
  const Folder folder("processes_network");
  const Words training = Words{FER_PROGRAM} + short_training(folder / "run") +
                         Words{"--image-epochs", "0", "--epochs", "1000", "--time-limit", "3"};
  Background program(Words{"ip"} + machines.with_mpirun(training), TwoMachines::limits());
  for (int i = 0; i < 6000 && !fs::exists(folder / "run/last.safetensors"); ++i) ::usleep(10000);
  if (!fs::exists(folder / "run/last.safetensors")) {
    program.send(SIGTERM);
    FAIL(program.wait().err);
  }
  machines.cut();
  CHECK(ranks_end(folder.path.string(), 3 + 12));
  // mpirun itself waits for minutes for its daemon on the other machine.
  program.send(SIGKILL);
  const Result result = program.wait();
  machines.mend();
  INFO(result.err);
  CHECK(count_of(result.err, "fer: ") == 1);
  CHECK(result.err.find("rank 1 (node2) has not answered for 3 s\n") != std::string::npos);
  CHECK(none_left(folder.path.string(), 30));
  const Result more = run({"train", "--resume", folder / "run", "--max-steps", "1", "--quiet"});
  CHECK_MESSAGE(more.code == 0, more.err);
}

TEST_SUITE_END();
