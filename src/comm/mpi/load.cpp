// Loads the module fer_mpi on first use.
#include "comm/mpi.h"
#include "fer/tensor/communicator.h"
#include "tensor/module_loader.h"

namespace fer {

namespace comm {

std::unique_ptr<Transport> start_mpi() {
  try {
    const auto& module =
        *static_cast<const MpiModule*>(detail::load_module("MPI", "fer_mpi", "fer_mpi_module"));
    return std::unique_ptr<Transport>(module.start());
  } catch (const std::exception& error) {
    throw CommunicationError(error.what());
  }
}

}  // namespace comm

std::string mpi_library_name(std::string*) {
  return FER_MPI_NAME ", loaded when a launcher has started several processes";
}

}  // namespace fer
