#include "app/processes.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>
#include <streambuf>
#include <string>

#include "app/failure.h"
#include "app/interrupt.h"
#include "app/launcher.h"
#include "fer/error.h"

namespace fer::app {
namespace {

/// Swallows what the ranks other than 0 print.
class Silence {
 public:
  explicit Silence(bool active) {
    if (!active) return;
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
  std::set<std::string> noted;
  for (int rank = 0; const std::string& text : ranks.share_all(note))
    if (noted.insert(ranks.host_of(rank++)).second) std::cerr << text;
}

/// Prints what ended the run, if this rank is to do so; also one that is otherwise silent, and from any thread.
void report(const std::string& text) {
  if (text.empty()) return;
  note_reported();
  const std::string line = concat("fer: ", text, "\n");
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
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
  const Device device = chosen_device(options.gpus);
  require<ConfigError>(options.processes <= 1 || launched.launcher.empty(),
                       "--processes: ", launched.launcher, " has already started the processes of this run");
  if (options.processes > 1) return launch(options.processes, "--processes");
  if (launched.launcher.empty() && !options.gpus.wanted.empty())
    if (const int gpus = processes_for_gpus(options.gpus); gpus > 1) return launch(gpus, "--gpus");
  CommunicatorOptions choices;
  choices.time_limit = std::chrono::milliseconds(static_cast<std::int64_t>(1000 * options.time_limit));
  choices.device = device;
  choices.on_lost = report;
  const std::unique_ptr<Communicator> ranks = make_communicator(choices);
  if (ranks->size() == 1) {
    take_gpu(*ranks, options.gpus);
    return work(*ranks);
  }
  int code = 0;
  std::string failure;
  try {
    const Silence silence(ranks->rank() != 0);
    if (ranks->rank() != 0 || is_launched()) silence_interrupts();
    std::cerr << ranks->describe() << std::endl;
    divide_threads(*ranks);
    take_gpu(*ranks, options.gpus);
    code = work(*ranks);
    std::cout.flush();  // before the communicator waits for the others
    if (code != 0) note_reported();
    return code;
  } catch (const std::exception& error) {
    code = failure_code(error);
    failure = ranks->leave(failure_text(error, options.trains));
  }
  std::cout.flush();
  report(failure);
  ranks->end_all(code);
  return code;
}

}  // namespace fer::app
