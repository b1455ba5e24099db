// How a program finds out that a launcher has started it.
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "comm/nccl.h"
#include "fer/tensor/communicator.h"

namespace {

std::map<std::string, std::string> environment;

fer::Launch launch(std::map<std::string, std::string> variables) {
  environment = std::move(variables);
  return fer::find_launch([](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

void check(const fer::Launch& found, const std::string& launcher, int size) {
  CHECK(found.launcher == launcher);
  CHECK(found.size == size);
}

}  // namespace

TEST_CASE("launchers are known by their variables") {
  check(launch({}), "", 1);
  check(launch({{"OMPI_COMM_WORLD_SIZE", "3"}, {"PMIX_RANK", "0"}}), "mpirun", 3);
  check(launch({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}}), "mpirun", 2);  // MPICH
  check(launch({{"MV2_COMM_WORLD_SIZE", "2"}}), "mpirun", 2);
  check(launch({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_NTASKS", "8"}}), "srun", 8);
  check(launch({{"SLURM_STEP_NUM_TASKS", "8"}, {"PMI_SIZE", "8"}}), "srun", 8);  // srun --mpi=pmi2
  check(launch({{"PMIX_RANK", "0"}}), "a launcher with PMIx", 0);
}

TEST_CASE("a batch script of Slurm is one process, though its job has several tasks") {
  check(launch({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}), "", 1);
}

TEST_CASE("mpirun within Slurm counts its own processes, not srun's daemons") {
  check(launch({{"SLURM_STEP_NUM_TASKS", "2"}, {"OMPI_COMM_WORLD_SIZE", "16"}}), "mpirun", 16);
  check(launch({{"SLURM_STEP_NUM_TASKS", "2"}, {"PMI_SIZE", "16"}}), "mpirun", 16);
}

TEST_CASE("the module of NCCL is loaded, or its absence is explained") {
  std::string reason;
  if (fer::nccl_library_name(&reason).empty()) {
    CHECK_THROWS_WITH_AS(fer::comm::load_nccl(), reason.c_str(), fer::CommunicationError);
    CHECK(reason.find("-DFER_NCCL=ON") != std::string::npos);
    return;
  }
  const fer::comm::DeviceLink nccl = fer::comm::load_nccl();
  CHECK(nccl.library.starts_with("NCCL "));
  CHECK_THROWS_WITH(nccl.join("an id of another length", 1, 2), "rank 0 has another version of NCCL");
}
