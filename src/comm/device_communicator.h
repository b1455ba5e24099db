// The communicator between devices: a DeviceTransport for tensors in the device's memory, and a communicator
// between hosts for all others.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/device_transport.h"
#include "comm/message_communicator.h"
#include "fer/tensor/device_runtime.h"

namespace fer::comm {

/// How to reach other devices.
struct DeviceLink {
  Device device;
  std::string library;                      ///< text to display
  std::function<DeviceRuntime&()> runtime;  ///< not called before the first tensor on the device
  std::function<std::string()> make_id;     ///< as in NcclModule
  std::function<std::unique_ptr<DeviceTransport>(const std::string& id, int rank, int size)> join;
};

/// `kind`: "nccl". Devices join at the first collective on their memory.
std::unique_ptr<Communicator> make_device_communicator(std::unique_ptr<HostCommunicator> host,
                                                       std::string_view kind, DeviceLink link);

}  // namespace fer::comm
