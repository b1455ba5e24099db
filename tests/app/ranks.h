// Runs of several processes: how tests start them, find them and make sure that none is left.
#pragma once

#include <chrono>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "app/program.h"

namespace app_test {

using Words = std::vector<std::string>;

inline Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The words of a text without quotes.
inline Words words_of(const std::string& text) {
  std::istringstream in(text);
  Words words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

/// "mpirun -np N fer ARGUMENTS", for run() and Background.
inline Words ranks_of_mpirun(int n, const Words& arguments) {
  return Words{"--bind-to", "none", "-np", std::to_string(n), FER_PROGRAM} + arguments;
}
inline Limits by_mpirun() {
  for (const char* name :
       {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "PRTE_ALLOW_RUN_AS_ROOT",
        "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"})
    ::setenv(name, "1", 1);
  ::setenv("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe", 1);
  Limits limits;
  limits.program = FER_MPIRUN;
  return limits;
}

/// The processes whose command line mentions `folder`, by rank; launchers have the rank -1.
inline std::multimap<int, pid_t> processes_of(const std::string& folder) {
  std::multimap<int, pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t id = std::atoi(entry.path().filename().c_str());
    if (id <= 0 || id == ::getpid() || read_all(entry.path() / "cmdline").find(folder) == std::string::npos)
      continue;
    const std::string environment = '\0' + read_all(entry.path() / "environ");
    const std::string key = std::string(1, '\0') + "OMPI_COMM_WORLD_RANK=";
    const std::size_t at = environment.find(key);
    found.emplace(at == std::string::npos ? -1 : std::atoi(environment.c_str() + at + key.size()), id);
  }
  return found;
}

/// Waits until the processes of `folder` have ended; false if some have not after `seconds`.
inline bool none_left(const std::string& folder, double seconds = 5) {
  for (double waited = 0; waited < seconds; waited += 0.05) {
    if (processes_of(folder).empty()) return true;
    ::usleep(50000);
  }
  return false;
}

inline std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

}  // namespace app_test
