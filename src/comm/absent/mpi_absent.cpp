// Stand-in for MPI in a build without it.
#include "comm/mpi.h"
#include "fer/tensor/communicator.h"

namespace fer {
namespace {

constexpr const char* no_mpi =
    "this build has no MPI; install libopenmpi-dev and openmpi-bin (Debian), and configure with -DFER_MPI=ON";

}  // namespace

namespace comm {

std::unique_ptr<Transport> start_mpi() {
  throw CommunicationError(no_mpi);
}

}  // namespace comm

std::string mpi_library_name(std::string* reason) {
  if (reason) *reason = no_mpi;
  return "";
}

}  // namespace fer
