#include "fer/tensor/backend.h"

#include <mutex>

#include "fer/tensor/device_runtime.h"

namespace fer {
namespace {

struct Slot {
  std::once_flag once;
  std::unique_ptr<Backend> made;
  std::string reason;  // why there is none
};

Slot& slot(Device device) {
  // Never destroyed: tensors in static storage release their memory after main has returned.
  static Slot* slots = new Slot[3];
  Slot& s = slots[static_cast<int>(device)];
  std::call_once(s.once, [&] {
    try {
      switch (device) {
        case Device::cpu:
          s.made = make_cpu_backend();
          break;
        case Device::simt:
          s.made = make_simt_backend();
          break;
        case Device::cuda:
          s.made = make_cuda_backend();
          break;
      }
    } catch (const Error& error) {
      s.reason = error.what();
    }
  });
  return s;
}

}  // namespace

Backend& backend(Device device) {
  Slot& s = slot(device);
  require<DeviceError>(s.made != nullptr, s.reason);
  if (DeviceRuntime* runtime = s.made->runtime()) runtime->enter_thread();
  return *s.made;
}

bool is_available(Device device, std::string* reason) {
  Slot& s = slot(device);
  if (!s.made && reason) *reason = s.reason;
  return s.made != nullptr;
}

}  // namespace fer
