// Loads the module fer_nccl on first use.
#include "comm/nccl.h"
#include "fer/tensor/backend.h"
#include "tensor/module_loader.h"

namespace fer {

namespace comm {

DeviceLink load_nccl() {
  try {
    const auto& module =
        *static_cast<const NcclModule*>(detail::load_module("NCCL", "fer_nccl", "fer_nccl_module"));
    return {Device::cuda, module.library(),
            []() -> DeviceRuntime& { return *backend(Device::cuda).runtime(); }, module.make_id,
            [&module](const std::string& id, int rank, int size) {
              return std::unique_ptr<DeviceTransport>(module.join(id, rank, size));
            }};
  } catch (const std::exception& error) {
    throw CommunicationError(error.what());
  }
}

}  // namespace comm

std::string nccl_library_name(std::string*) {
  return FER_NCCL_NAME ", loaded when several processes use GPUs";
}

}  // namespace fer
