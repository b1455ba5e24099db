#include "comm/neighbours.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "fer/error.h"

namespace fer::comm {
namespace {

/// When a process started, in ticks since the machine did; empty if it has ended. Its id may be another's later.
std::string start_of(pid_t process) {
  std::ifstream in(concat("/proc/", process, "/stat"));
  std::string text{std::istreambuf_iterator<char>(in), {}};
  // "12 (name) S ...": the state is field 3, the start field 22. The name may hold spaces and brackets.
  std::istringstream fields(text.erase(0, text.rfind(')') + 1));
  std::string state, field;
  fields >> state;
  for (int i = 4; i <= 22; ++i) fields >> field;
  return !fields || state == "Z" || state == "X" ? "" : field;
}

/// Names the set of process ids to which those of this process belong: machines and containers have their own.
std::string own_ids() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string machine;
  in >> machine;
  std::error_code error;
  const std::string container = std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
  return machine.empty() || container.empty() ? "" : machine + "/" + container;
}

}  // namespace

std::string Neighbours::own_card() {
  return concat(own_ids(), " ", ::getpid(), " ", start_of(::getpid()));
}

Neighbours::Neighbours(const std::vector<std::string>& cards, int own_rank) : processes_(cards.size()) {
  const std::string ids = own_ids();
  for (std::size_t rank = 0; rank < cards.size(); ++rank) {
    std::istringstream card(cards[rank]);
    std::string theirs;
    Process process;
    if (!(card >> theirs >> process.id >> process.started) || theirs != ids) continue;
    if (static_cast<int>(rank) != own_rank) processes_[rank] = process;
  }
}

bool Neighbours::has_ended(int rank) const {
  const Process& process = processes_[static_cast<std::size_t>(rank)];
  return process.id != 0 && start_of(process.id) != process.started;
}

}  // namespace fer::comm
