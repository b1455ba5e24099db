// The communicator over a Transport.
#pragma once

#include <memory>

#include "comm/transport.h"
#include "fer/tensor/communicator.h"

namespace fer::comm {

/// `kind`: "mpi". Exchanges the names of the machines, so it is a collective itself. CommunicationError as for
/// collectives.
std::unique_ptr<Communicator> make_message_communicator(std::unique_ptr<Transport> transport,
                                                        std::string_view kind,
                                                        const CommunicatorOptions& options);

}  // namespace fer::comm
