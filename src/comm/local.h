// The communicator of a single process.
#pragma once

#include <memory>

#include "fer/tensor/communicator.h"

namespace fer::comm {

std::unique_ptr<Communicator> make_local_communicator();

}  // namespace fer::comm
