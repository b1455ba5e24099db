#include "app/processes.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <streambuf>
#include <string>
#include <vector>

#include "app/failure.h"
#include "fer/error.h"

namespace fer::app {
namespace {

/// Swallows what the ranks other than 0 print.
class Silence {
 public:
  explicit Silence(bool silent) {
    if (!silent) return;
    out_ = std::cout.rdbuf(&nothing_);
    err_ = std::cerr.rdbuf(&nothing_);
  }
  ~Silence() {
    if (out_) std::cout.rdbuf(out_);
    if (err_) std::cerr.rdbuf(err_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  struct Nothing final : std::streambuf {
    int_type overflow(int_type c) override { return traits_type::not_eof(c); }
    std::streamsize xsputn(const char*, std::streamsize count) override { return count; }
  };
  Nothing nothing_;
  std::streambuf *out_ = nullptr, *err_ = nullptr;
};

/// This program's arguments without --processes.
std::vector<std::string> own_arguments() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string word; std::getline(in, word, '\0');) {
    if (word == "--processes") {
      std::getline(in, word, '\0');
    } else if (!word.starts_with("--processes=")) {
      arguments.push_back(word);
    }
  }
  return arguments;
}

/// Replaces this process by mpirun.
[[noreturn]] void launch(int processes) {
  std::string reason;
  require<ConfigError>(!mpi_library_name(&reason).empty(), "--processes: ", reason);
  // The processes divide the cores among themselves (divide_threads), and after Ctrl-C write a checkpoint.
  const bool root = ::geteuid() == 0;  // this program already runs as root; mpirun would refuse
  for (const auto& [name, value] : {std::pair{"OMPI_MCA_hwloc_base_binding_policy", "none"},
                                    {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                                    {"OMPI_MCA_odls_base_sigkill_timeout", "60"},
                                    {"PRTE_MCA_hwloc_default_binding_policy", "none"},
                                    {"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"},
                                    {"PRTE_MCA_odls_base_sigkill_timeout", "60"}})
    ::setenv(name, value, /*overwrite=*/0);
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                           "PRTE_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM"})
    if (root) ::setenv(name, "1", 0);
  std::vector<std::string> words{"mpirun", "-np", std::to_string(processes)}, own = own_arguments();
  own.at(0) = "/proc/self/exe";
  char path[4096];
  const auto length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length > 0) own[0].assign(path, static_cast<std::size_t>(length));
  words.insert(words.end(), own.begin(), own.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  throw ConfigError(
      concat("--processes: cannot start mpirun: ", std::strerror(errno), "; install openmpi-bin (Debian)"));
}

/// Gives each process its share of the machine's cores, unless OMP_NUM_THREADS says otherwise.
void divide_threads(Communicator& ranks) {
  const std::string host = ranks.host_of(ranks.rank());
  int here = 0;
  for (int rank = 0; rank < ranks.size(); ++rank) here += ranks.host_of(rank) == host;
  const int cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  if (!std::getenv("OMP_NUM_THREADS"))
    omp_set_num_threads(std::clamp(cores / here, 1, omp_get_max_threads()));
  const int threads = here * omp_get_max_threads();
  std::string note;
  if (threads > cores)
    note = concat(host, ": ", here, here == 1 ? " process" : " processes", " with ", omp_get_max_threads(),
                  omp_get_max_threads() == 1 ? " thread" : " threads", " each on ", cores,
                  cores == 1 ? " core" : " cores", "; fewer would be faster\n");
  else if (threads <= cores / 2 && !std::getenv("OMP_NUM_THREADS"))
    note = concat(host, ": the launcher leaves ", omp_get_num_procs(), " of ", cores, " cores to each of ",
                  here, " processes; mpirun --bind-to none uses them all\n");
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const bool first_of_host = [&] {
      for (int other = 0; other < rank; ++other)
        if (ranks.host_of(other) == ranks.host_of(rank)) return false;
      return true;
    }();
    if (first_of_host) std::cerr << ranks.share(note, rank);
  }
}

/// Whether this rank reports the error: rank 0 does, or the next if the error is that rank 0 is lost.
bool reports(const Communicator& ranks, const std::exception& error) {
  const bool lost_first = std::string_view(error.what()).find("rank 0 (") != std::string_view::npos;
  return ranks.rank() == 0 || (ranks.rank() == 1 && lost_first);
}

}  // namespace

void add_process_flags(CLI::App& command, ProcessOptions& options) {
  command
      .add_option(
          "--processes", options.processes,
          "start so many processes on this machine, which share the work; mpirun and srun start them on "
          "several")
      ->check(CLI::Range(1, 4096));
  command
      .add_option("--time-limit", options.time_limit,
                  "several processes: seconds after which one that does not answer is lost, and the run ends")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
}

int run_in_processes(const ProcessOptions& options, const std::function<int(Communicator& ranks)>& work) {
  const Launch launched = find_launch([](const char* name) -> const char* { return std::getenv(name); });
  if (options.processes > 0 && launched.launcher.empty() && options.processes > 1) launch(options.processes);
  require<ConfigError>(options.processes <= 1 || launched.launcher.empty(),
                       "--processes: ", launched.launcher, " has already started the processes of this run");
  const auto limit = std::chrono::milliseconds(static_cast<std::int64_t>(1000 * options.time_limit));
  const std::unique_ptr<Communicator> ranks = make_communicator({limit});
  if (ranks->size() == 1) return work(*ranks);
  try {
    const Silence silence(ranks->rank() != 0);
    std::cerr << ranks->describe() << std::endl;
    divide_threads(*ranks);
    return work(*ranks);
  } catch (const std::exception& error) {
    ranks->leave(error.what());
    const Silence silence(!reports(*ranks, error));
    const int code = report_failure(error, true);
    ranks->end_all(code);
    return code;
  }
}

}  // namespace fer::app
