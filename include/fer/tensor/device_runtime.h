// What a device with a queue of its own offers beside computing: captured work that is replayed, time by
// events, copies beside the kernels, a choice of who multiplies. cuda has all of it; simt runs the same code,
// so that its logic is tested without a GPU; the CPU computes at once and has none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include "fer/error.h"
#include "fer/tensor/tensor.h"

namespace fer {

/// Work that cannot be captured: it waits for the device, or needs its results on the host.
struct CaptureError : DeviceError {
  using DeviceError::DeviceError;
};

/// A point in the queue of a device.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  /// Waits until the device has come to this point.
  virtual void wait() = 0;
};

/// Work that was captured once. It holds the memory of what it computed: those tensors keep their place, and
/// each replay writes them anew. Tensors that it reads from outside (weights, inputs) must outlive it.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// Gives all of it to the device in one call. Random layers draw what they would draw `advance` steps after
  /// the step of the capture (RandomKey::index + advance).
  virtual void replay(std::uint64_t advance = 0) = 0;
  /// Kernels and copies in it.
  virtual std::size_t operations() const = 0;
};

/// Captures what `work` gives to the device, without doing it: the first replay() does.
///
///   fer::Variable y;
///   auto graph = fer::capture_graph(x.device(), [&] { y = model(x); });   // x, y: same memory at each
///   replay x.mutable_value().copy_from(image); graph->replay(); // y holds the result
///
/// CaptureError if the device has no queue, or `work` copies to or from the host or waits for the device;
/// other errors of `work` pass through. Nothing is left behind in either case.
std::unique_ptr<DeviceGraph> capture_graph(Device device, const std::function<void()>& work);

/// Whether work for `device` is being captured: whoever wants to look at values must do without.
bool is_capturing(Device device);

/// Who computes matrix products and convolutions of device cuda: the kernels of src/cuda, or cuBLAS and
/// cuDNN.
enum class MathMode { native, library };
std::string_view name_of(MathMode mode);
/// "native" or "library"; anything else is a ConfigError that lists them.
MathMode parse_math_mode(std::string_view text);
std::ostream& operator<<(std::ostream& out, MathMode mode);

/// From now on `device` multiplies by `mode`. DeviceError, saying what to do, if it has no library.
void set_math_mode(Device device, MathMode mode);
MathMode math_mode(Device device);
/// Whether cuBLAS and cuDNN are built in and installed, GPU or not; `reason`, if given, receives why not.
bool has_math_library(std::string* reason = nullptr);

/// Which GPU device cuda is, before its first use; without a call, that of FER_CUDA_DEVICE, or 0.
/// ConfigError if another one is in use already.
void select_gpu(int index);
/// For the device itself: the choice, final from here on.
int take_selected_gpu();

/// The interface between the above and a device; see Backend::runtime().
class DeviceRuntime {
 public:
  virtual ~DeviceRuntime() = default;

  /// Called with every use of the backend: makes its GPU that of the calling thread.
  virtual void enter_thread() = 0;

  virtual bool is_capturing() const = 0;
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<DeviceGraph> end_capture() = 0;
  virtual void abandon_capture() noexcept = 0;

  /// A point behind all work given so far.
  virtual std::unique_ptr<DeviceEvent> record() = 0;
  /// Seconds of the device between two points; waits for the second.
  virtual double seconds_between(DeviceEvent& start, DeviceEvent& stop) = 0;

  /// Host memory that the device copies from while it computes.
  virtual std::shared_ptr<void> pinned_memory(std::size_t bytes) = 0;
  /// Copies `bytes` from pinned memory to `to` beside the kernels, once the device has come to `after`
  /// (optional). Returns the point at which the copy is done; both must live until then.
  virtual std::unique_ptr<DeviceEvent> copy_beside(void* to, const void* pinned, std::size_t bytes,
                                                   DeviceEvent* after) = 0;
  /// Kernels given from now on start after `event`.
  virtual void wait_for(DeviceEvent& event) = 0;

  virtual void set_math_mode(MathMode mode) = 0;
  virtual MathMode math_mode() const = 0;
};

}  // namespace fer
