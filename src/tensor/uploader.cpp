#include "fer/tensor/uploader.h"

#include <cstring>

#include "fer/tensor/backend.h"

namespace fer {

Uploader::Uploader(Device device) : device_(device) {}

Uploader::~Uploader() {
  // Pinned memory must not be freed while the device still copies from it.
  for (Slot& slot : slots_) {
    try {
      if (slot.copied) slot.copied->wait();
    } catch (const Error&) {  // the device has failed; its next use reports that
    }
  }
}

Uploader::Ticket Uploader::start(const std::vector<Tensor>& host) {
  const Ticket ticket = next_;
  next_ = 1 - next_;
  Slot& slot = slots_[static_cast<std::size_t>(ticket)];
  Backend& device = backend(device_);
  if (device.runtime() == nullptr) {  // the CPU: there is nothing to copy
    slot.device = host;
    return ticket;
  }
  if (slot.copied) slot.copied->wait();  // before its pinned memory is overwritten
  slot.device.resize(host.size());
  slot.pinned.resize(host.size());
  for (std::size_t i = 0; i < host.size(); ++i) {
    Tensor& to = slot.device[i];
    if (!host[i].defined()) {
      to = Tensor();
      continue;
    }
    require<TypeError>(host[i].device() == Device::cpu, "[upload] tensor ", i, " is on ", host[i].device(),
                       "; only tensors of the CPU are uploaded");
    if (!to.defined() || to.shape() != host[i].shape() || to.dtype() != host[i].dtype()) {
      to = Tensor::empty(host[i].shape(), host[i].dtype(), device_);
      slot.pinned[i] = device.runtime()->pinned_memory(host[i].bytes());
      device.synchronize();  // kernels may still use this memory as another tensor
    }
    if (host[i].bytes() == 0) continue;
    std::memcpy(slot.pinned[i].get(), host[i].raw(), host[i].bytes());
    slot.copied = device.runtime()->copy_beside(to.mutable_raw(), slot.pinned[i].get(), host[i].bytes(),
                                                slot.read.get());
  }
  return ticket;
}

std::vector<Tensor> Uploader::finish(Ticket ticket) {
  Slot& slot = slots_[static_cast<std::size_t>(ticket)];
  if (DeviceRuntime* runtime = backend(device_).runtime()) {
    if (slot.copied) runtime->wait_for(*slot.copied);
    // Everything that reads the other slot has been queued on the device by now.
    slots_[static_cast<std::size_t>(1 - ticket)].read = runtime->record();
  }
  return slot.device;
}

}  // namespace fer
