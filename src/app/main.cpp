// fer: trains, evaluates and uses the facial-expression network.
#include <omp.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <latch>
#include <system_error>
#include <thread>
#include <vector>

#include "app/command_line.h"
#include "app/failure.h"
#include "fer/error.h"
#include "fer/tensor/subnormal.h"

namespace {

/// Whether all output was written; prints an error if not, as on a full disk.
bool fully_printed() {
  std::cout.flush();
  if (std::cout.good()) return true;
  std::cerr << "fer: cannot write the standard output" << std::endl;
  return false;
}

/// Checks that threads can be started. OpenMP would otherwise abort the program in the middle of its work.
void require_threads() {
  const int wanted = omp_get_max_threads() - 1;
  std::latch all_started(1);
  std::vector<std::jthread> threads;
  try {
    while (static_cast<int>(threads.size()) < wanted) threads.emplace_back([&] { all_started.wait(); });
  } catch (const std::system_error& error) {
    all_started.count_down();
    throw fer::Error(fer::concat("cannot start ", wanted, wanted == 1 ? " thread" : " threads",
                                 " beside the first: ", error.code().message(),
                                 "; ask for fewer with OMP_NUM_THREADS, or raise the limits of "
                                 "processes (ulimit -u) and of memory (ulimit -v)"));
  }
  all_started.count_down();
}

}  // namespace

int main(int argc, char** argv) {
  // Exceeding the file size limit should be a write error, not end the program.
  std::signal(SIGXFSZ, SIG_IGN);
  fer::app::CommandLine command_line;
  try {
    require_threads();
    fer::flush_subnormals();  // otherwise a training with a nearly zero loss is several times slower
    const int code = command_line.run(argc, argv);
    return fully_printed() ? code : 1;
  } catch (const std::exception& error) {
    const CLI::App& app = command_line.app();
    return fer::app::report_failure(error, app.got_subcommand("train") || app.got_subcommand("ablate"));
  }
}
