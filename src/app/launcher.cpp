#include "app/launcher.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <utility>
#include <vector>

#include "app/interrupt.h"
#include "fer/error.h"
#include "fer/tensor/communicator.h"

namespace fer::app {
namespace {

constexpr const char* reported_variable = "FER_REPORTED";

/// This program's command line without --processes.
std::vector<std::string> own_command() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) {
    if (word == "--processes") {
      std::getline(in, word, '\0');
    } else if (!word.starts_with("--processes=")) {
      words.push_back(word);
    }
  }
  words.at(0) = std::filesystem::read_symlink("/proc/self/exe").string();
  return words;
}

/// Settings of Open MPI 4, and of 5 (PRTE). The user's own come first.
void set_environment() {
  constexpr std::array settings{
      std::pair{"OMPI_MCA_hwloc_base_binding_policy", "none"},  // the processes divide the cores themselves
      std::pair{"PRTE_MCA_hwloc_default_binding_policy", "none"},
      std::pair{"OMPI_MCA_orte_execute_quiet", "1"},  // adds nothing to what the processes say
      std::pair{"PRTE_MCA_prte_execute_quiet", "1"},
      std::pair{"OMPI_MCA_rmaps_base_oversubscribe", "1"},
      std::pair{"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"}};
  for (const auto& [name, value] : settings) ::setenv(name, value, /*overwrite=*/0);
  if (::geteuid() != 0) return;  // root has started this program, and mpirun asks twice
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "PRTE_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM"})
    ::setenv(name, "1", 0);
}

/// The signals on which the run ends. A shell without job control makes its background processes ignore Ctrl-C.
sigset_t stop_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) ::sigaddset(&set, signal);
  }
  return set;
}

/// Starts the command in a process group of its own, which Ctrl-C does not reach, and without input: a group in
/// the background may not read the terminal.
pid_t start(std::vector<std::string> words, const sigset_t& blocked_before, const std::string& flag) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int broken[2];  // closed by a successful exec
  require<Error>(::pipe2(broken, O_CLOEXEC) == 0, flag, ": ", std::strerror(errno));
  const pid_t parent = ::getpid(), child = ::fork();
  require<Error>(child >= 0, flag, ": ", std::strerror(errno));
  if (child == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    ::sigprocmask(SIG_SETMASK, &blocked_before, nullptr);
    ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::execvp(arguments[0], arguments.data());
    [[maybe_unused]] const auto written = ::write(broken[1], &errno, sizeof errno);
    ::_exit(1);
  }
  ::close(broken[1]);
  int error = 0;
  const bool failed = ::read(broken[0], &error, sizeof error) == sizeof error;
  ::close(broken[0]);
  require<Error>(!failed, flag, ": cannot start mpirun: ", std::strerror(error),
                 "; install openmpi-bin (Debian)");
  return child;
}

struct Ending {
  int status = 0;  ///< as waitpid() gives it
  int signal = 0;  ///< that asked the run to end; 0 if none did
};

/// Waits for mpirun. It would end its processes within a second of Ctrl-C, too soon for a checkpoint, but passes
/// SIGUSR1 on to them.
Ending wait_for(pid_t mpirun, sigset_t signals) {
  using Clock = std::chrono::steady_clock;
  Ending ending;
  Clock::time_point first;
  ::sigaddset(&signals, SIGCHLD);
  while (true) {
    const pid_t done = ::waitpid(mpirun, &ending.status, WNOHANG);
    if (done == mpirun || (done < 0 && errno != EINTR)) return ending;
    const int signal = ::sigwaitinfo(&signals, nullptr);
    if (signal <= 0 || signal == SIGCHLD) continue;
    if (ending.signal == 0) {
      ending.signal = signal;
      first = Clock::now();
      ::kill(mpirun, SIGUSR1);
      std::cerr << stopping_message << std::flush;
    } else if (Clock::now() - first >= std::chrono::seconds(1)) {
      ::kill(mpirun, SIGTERM);
    }
  }
}

}  // namespace

int launch(int processes, const std::string& flag) {
  std::string reason;
  require<ConfigError>(!mpi_library_name(&reason).empty(), flag, ": ", reason);
  set_environment();
  std::vector<std::string> words{"mpirun", "-np", std::to_string(processes)};
  for (std::string& word : own_command()) words.push_back(std::move(word));
  const int reported = ::memfd_create("reported", MFD_CLOEXEC);
  ::setenv(reported_variable, concat("/proc/", ::getpid(), "/fd/", reported).c_str(), 1);

  std::signal(SIGCHLD, SIG_DFL);  // it would be missing if it were ignored
  sigset_t blocked = stop_signals(), before;
  ::sigaddset(&blocked, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  const Ending ending = wait_for(start(words, before, flag), stop_signals());
  ::sigprocmask(SIG_SETMASK, &before, nullptr);

  const int code = WIFEXITED(ending.status) ? WEXITSTATUS(ending.status) : 128 + WTERMSIG(ending.status);
  if (code == 0) return 0;
  if (ending.signal != 0) return exit_code_of(ending.signal);
  struct stat report {};
  if (::fstat(reported, &report) == 0 && report.st_size == 0)
    std::cerr << "fer: mpirun ended with the exit code " << code
              << " and did not say why; it may when it is started by "
              << "hand: mpirun -np " << processes << " fer ..." << std::endl;
  return code > 128 ? 1 : code;  // a process was killed
}

bool is_launched() {
  return std::getenv(reported_variable) != nullptr;
}

void note_reported() {
  if (const char* path = std::getenv(reported_variable)) std::ofstream(path) << "yes";
}

}  // namespace fer::app
