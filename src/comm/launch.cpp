// How this process was started, and the communicator that follows from it.
#include <cstdlib>

#include "comm/device_communicator.h"
#include "comm/local.h"
#include "comm/message_communicator.h"
#include "comm/mpi.h"
#include "comm/nccl.h"
#include "fer/tensor/communicator.h"

namespace fer {
namespace {

/// The number in an environment variable; 0 if there is none.
int number_in(const char* text) {
  return text ? std::atoi(text) : 0;
}

std::string processes(int size) {
  return size == 0 ? "several processes" : concat(size, " processes");
}

}  // namespace

Launch find_launch(const char* (*variable)(const char* name)) {
  // mpirun within an allocation of Slurm sets both its own variables and srun's, which then tell of its daemons.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"})
    if (const int size = number_in(variable(name)); size > 0) return {"mpirun", size};
  // SLURM_NTASKS says the same, but a batch script has it, too, which srun has not started. srun may set PMI_SIZE.
  if (const int size = number_in(variable("SLURM_STEP_NUM_TASKS")); size > 0) {
    const int inner = number_in(variable("PMI_SIZE"));
    if (inner <= 1 || inner == size) return {"srun", size};
  }
  if (const int size = number_in(variable("PMI_SIZE")); size > 0) return {"mpirun", size};
  if (variable("PMIX_RANK")) return {"a launcher with PMIx", 0};
  return {};
}

std::unique_ptr<Communicator> make_communicator(const CommunicatorOptions& options) {
  require<ConfigError>(options.time_limit.count() > 0, "the time limit of collectives must be positive");
  const Launch launch = find_launch([](const char* name) -> const char* { return std::getenv(name); });
  if (launch.size == 1) return comm::make_local_communicator();
  std::unique_ptr<comm::Transport> transport;
  try {
    transport = comm::start_mpi();
  } catch (const CommunicationError& error) {
    throw CommunicationError(
        concat(launch.launcher, " has started ", processes(launch.size), ", but ", error.what()));
  }
  if (launch.size != 0 && transport->size() != launch.size) {
    const std::string library = transport->library();
    const int found = transport->size();
    transport->give_up();
    throw CommunicationError(concat(
        launch.launcher, " has started ", launch.size, " processes, but ", library, " finds ", found, "; ",
        launch.launcher == "srun"
            ? "start with srun --mpi=pmix (srun --mpi=list shows whether Slurm has it), or "
              "with the mpirun of that library"
            : "start with the mpirun of that library"));
  }
  if (transport->size() == 1) return comm::make_local_communicator();
  auto host = comm::make_message_communicator(std::move(transport), "mpi", options);
  if (options.device != Device::cuda) return host;
  comm::DeviceLink nccl;
  try {
    nccl = comm::load_nccl();
  } catch (const CommunicationError& error) {
    host->leave(error.what());
    throw;
  }
  return comm::make_device_communicator(std::move(host), "nccl", std::move(nccl));
}

}  // namespace fer
