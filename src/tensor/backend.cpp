#include "fer/tensor/backend.h"

#include <mutex>

#include "fer/tensor/device_runtime.h"

namespace fer {
namespace {

thread_local bool shapes_only = false;

/// A device whose kernels do nothing.
class IdleBackend final : public Backend {
 public:
  Device device() const override { return Device::cpu; }
  std::string description() const override { return "idle"; }
  void* allocate(std::size_t) override { return nullptr; }
  MemoryStats memory_stats() const override { return {}; }
  std::shared_ptr<PackedConv2d> pack_conv2d(const Tensor& weight, const Conv2dOptions& options) override {
    return std::make_shared<PackedConv2d>(weight, options);
  }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "idle_backend.inc"
#pragma GCC diagnostic pop
};

struct Slot {
  std::once_flag once;
  std::unique_ptr<Backend> made;
  std::string reason;  // why the device is missing
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

Backend& backend_of(const Tensor& tensor) {
  if (!shapes_only) return backend(tensor.device());
  static IdleBackend idle;
  return idle;
}

ShapesOnly::ShapesOnly() : before_(shapes_only) {
  shapes_only = true;
}
ShapesOnly::~ShapesOnly() {
  shapes_only = before_;
}

bool is_available(Device device, std::string* reason) {
  Slot& s = slot(device);
  if (!s.made && reason) *reason = s.reason;
  return s.made != nullptr;
}

}  // namespace fer
