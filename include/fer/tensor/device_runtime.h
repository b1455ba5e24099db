// What a device with a work queue offers besides computing: graph capture and replay, timing by events,
// copies that overlap with kernels, and a choice of math library. cuda has all of these. simt runs the same
// code, so that its logic is tested without a GPU. The CPU computes synchronously and has none of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "fer/error.h"
#include "fer/tensor/tensor.h"

namespace fer {

/// Whether a device computes on the host's threads, as cpu and simt do.
constexpr bool computes_on_host(Device device) {
  return device != Device::cuda;
}

/// Whether a device runs another device's kernels, so that its speed says nothing.
constexpr bool is_emulated(Device device) {
  return device == Device::simt;
}

/// Work that cannot be captured: it waits for the device, or needs its results on the host.
struct CaptureError : DeviceError {
  using DeviceError::DeviceError;
};

/// A point in the queue of a device.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  /// Waits until the device has reached this point.
  virtual void wait() = 0;
  /// Whether it has; does not wait. DeviceError if the device has failed.
  virtual bool reached() = 0;
};

/// A queue beside that of the kernels. Its work runs in order, and concurrently with kernels.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;
  /// What libraries call it: the cudaStream_t on device cuda.
  virtual void* stream() = 0;
  /// Work added from now on starts after `event`, without blocking the host.
  virtual void wait_for(DeviceEvent& event) = 0;
  /// A point after all work added so far.
  virtual std::unique_ptr<DeviceEvent> record() = 0;
};

/// Captured work. It owns the memory of the tensors that it computes: their addresses stay the same, and each
/// replay overwrites them. Tensors that it reads from outside (weights, inputs) must outlive it.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// Launches the captured work in one call. Random layers draw the numbers of the step that is `advance`
  /// steps after the captured one (RandomKey::index + advance).
  virtual void replay(std::uint64_t advance = 0) = 0;
  /// The number of captured kernels and copies.
  virtual std::size_t operations() const = 0;
};

/// Captures the work that `work` submits to the device without running it; replay() runs it.
///
///   fer::Variable y;
///   auto graph = fer::capture_graph(x.device(), [&] { y = model(x); });
///   x.mutable_value().copy_from(image);  // x and y keep the same memory at each replay
///   graph->replay();                     // y holds the result
///
/// CaptureError if the device has no queue, or if `work` copies to or from the host or waits for the device;
/// other errors of `work` pass through. In either case the capture is abandoned.
std::unique_ptr<DeviceGraph> capture_graph(Device device, const std::function<void()>& work);

/// Whether work for `device` is being captured; until the capture ends, values cannot be read.
bool is_capturing(Device device);

/// How the device cuda computes matrix products and convolutions: with the kernels of src/cuda (native), or
/// with cuBLAS and cuDNN (library).
enum class MathMode { native, library };
std::string_view name_of(MathMode mode);
/// "native" or "library"; anything else is a ConfigError that lists them.
MathMode parse_math_mode(std::string_view text);
std::ostream& operator<<(std::ostream& out, MathMode mode);

/// Sets the math mode of `device`. DeviceError, saying what to do, if it has no library.
void set_math_mode(Device device, MathMode mode);
MathMode math_mode(Device device);
/// Whether cuBLAS and cuDNN are built in and installed, GPU or not; `reason`, if given, receives why not.
bool has_math_library(std::string* reason = nullptr);

/// Selects the GPU that the device cuda uses; call it before the first use. The default is FER_CUDA_DEVICE,
/// or 0. ConfigError if another GPU is in use already.
void select_gpu(int index);
/// parse_device(), and select_gpu() for "cuda:1". ConfigError for anything else.
Device select_device(const std::string& text);
/// The GPUs that this process may use, in the order of their numbers: for each a name that is the same in all
/// processes of the machine. DeviceError, saying what to do, if there is none.
std::vector<std::string> gpu_names();
/// For the device itself: returns the selected GPU and makes the choice final.
int take_selected_gpu();

/// The interface between the functions above and a device; see Backend::runtime().
class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;

  /// Called at every use of the backend: makes its GPU current in the calling thread.
  virtual void enter_thread() = 0;

  virtual bool is_capturing() const = 0;
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<DeviceGraph> end_capture() = 0;
  virtual void abandon_capture() noexcept = 0;

  /// A point after all work submitted so far.
  virtual std::unique_ptr<DeviceEvent> record() = 0;
  /// Seconds of device time between two points; waits for the second.
  virtual double seconds_between(DeviceEvent& start, DeviceEvent& stop) = 0;

  /// Pinned host memory, from which the device can copy while it computes.
  virtual std::shared_ptr<void> pinned_memory(std::size_t bytes) = 0;
  /// Copies `bytes` from pinned memory to `to`, overlapping with kernels, once the device has reached `after`
  /// (optional). Returns the point at which the copy is done; both buffers must live until then.
  virtual std::unique_ptr<DeviceEvent> copy_beside(void* to, const void* pinned, std::size_t bytes,
                                                   DeviceEvent* after) = 0;
  /// Kernels submitted from now on start after `event`.
  virtual void wait_for(DeviceEvent& event) = 0;
  virtual std::unique_ptr<DeviceQueue> make_queue() = 0;

  virtual void set_math_mode(MathMode mode) = 0;
  virtual MathMode math_mode() const = 0;
};

}  // namespace fer
