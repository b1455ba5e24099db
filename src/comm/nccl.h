// NCCL, as far as this build has it: src/comm/nccl, or src/comm/absent.
#pragma once

#include "comm/device_communicator.h"

namespace fer::comm {

/// Loads NCCL. CommunicationError if this build has no NCCL, or if it cannot be loaded.
DeviceLink load_nccl();

}  // namespace fer::comm
