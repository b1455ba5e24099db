// MPI, as far as this build has it: src/comm/mpi, or src/comm/absent.
#pragma once

#include <memory>

#include "comm/transport.h"

namespace fer::comm {

/// Loads MPI and joins the run that the launcher has started. CommunicationError if this build has no MPI, or
/// if it cannot be loaded or started.
std::unique_ptr<Transport> start_mpi();

}  // namespace fer::comm
