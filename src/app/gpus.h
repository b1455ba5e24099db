// Which GPU each process of a run uses: one each. --gpus starts a process for each GPU of this machine; processes
// that mpirun or srun has started take the GPUs of their machine in order.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "fer/tensor/communicator.h"

namespace fer::app {

struct GpuOptions {
  std::string wanted;                        ///< --gpus; empty: not given
  std::string* device = nullptr;             ///< --device of the same command
  const CLI::Option* device_flag = nullptr;  ///< whether it was given
};

/// --gpus all|N|0,2, for a command that has --device and --processes.
void add_gpus_flag(CLI::App& command, GpuOptions& options, std::string& device);

/// The device that the flags choose; --gpus makes it cuda. ConfigError if --device says something else.
Device chosen_device(const GpuOptions& options);
/// How many processes --gpus starts on this machine. ConfigError for GPUs that it does not have; DeviceError, saying
/// what to do, if it has none; NCCL must be there for more than one.
int processes_for_gpus(const GpuOptions& options);
/// Selects this process's GPU, if the device is cuda and the flags leave a choice. A collective. ConfigError if a
/// machine has fewer GPUs than processes.
void take_gpu(Communicator& ranks, const GpuOptions& options);

/// The numbers of the GPUs that `text` names, of `available`: "all", "2" (the first two) or "0,2".
std::vector<int> parse_gpus(const std::string& text, int available);
/// For each rank, which of its GPUs it takes: the first that no lower rank of its machine has. hosts: the machine of
/// each rank; gpus: names of the GPUs that it may use.
std::vector<std::size_t> share_gpus(const std::vector<std::string>& hosts,
                                    const std::vector<std::vector<std::string>>& gpus);

}  // namespace fer::app
