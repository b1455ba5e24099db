// Commands that several processes can share: started by mpirun or srun, or by fer itself with --processes.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "app/gpus.h"
#include "fer/tensor/communicator.h"

namespace fer::app {

struct ProcessOptions {
  int processes = 0;       ///< to start; 0: as many as the launcher has started
  double time_limit = 60;  ///< seconds
  GpuOptions gpus;
  bool trains = true;  ///< whether the command trains a network
};

/// --processes N and --time-limit S.
void add_process_flags(CLI::App& command, ProcessOptions& options);

/// Runs `work` in every process of the run and returns its exit code. Divides the threads and GPUs of a machine
/// among its processes. Only rank 0 prints. An error of one process ends all: it is printed once, with the number
/// and host of its rank. With --processes or --gpus, starts so many and waits for them.
int run_in_processes(const ProcessOptions& options, const std::function<int(Communicator& ranks)>& work);

}  // namespace fer::app
