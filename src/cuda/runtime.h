// Events, graphs of captured work with their memory, and copies concurrent with kernels.
// fer/tensor/device_runtime.h documents the calls.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "cuda/gpu.h"
#include "fer/tensor/device_runtime.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// Allocates and releases blocks of device memory.
struct BlockSource {
  std::function<void*(std::size_t bytes)> allocate;
  std::function<void(void* data, std::size_t bytes)> release;
};

/// The memory of captured work. It stays allocated as long as the graph, whose replays write to the same
/// addresses, or any tensor in it exists.
class GraphMemory {
 public:
  explicit GraphMemory(const BlockSource& source) : source_(source) {}
  ~GraphMemory();
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;

  void* allocate(std::size_t bytes);
  /// Makes the block available to the next allocate() of the same size. That is safe: captured work runs in
  /// order.
  void release(void* data, std::size_t bytes) noexcept;
  /// Takes ownership of a block from outside the capture, because captured work may read it.
  void keep(void* data, std::size_t bytes);

 private:
  struct Block {
    void* data;
    std::size_t bytes;
  };
  const BlockSource& source_;
  std::vector<Block> blocks_;
  std::multimap<std::size_t, void*> free_;
};

class Runtime final : public DeviceRuntime {
 public:
  Runtime(gpu::Stream stream, BlockSource source);
  ~Runtime() override;

  void enter_thread() override;

  bool is_capturing() const override { return memory_ != nullptr; }
  void begin_capture() override;
  std::unique_ptr<DeviceGraph> end_capture() override;
  void abandon_capture() noexcept override;

  std::unique_ptr<DeviceEvent> record() override;
  double seconds_between(DeviceEvent& start, DeviceEvent& stop) override;

  std::shared_ptr<void> pinned_memory(std::size_t bytes) override;
  std::unique_ptr<DeviceEvent> copy_beside(void* to, const void* pinned, std::size_t bytes,
                                           DeviceEvent* after) override;
  void wait_for(DeviceEvent& event) override;
  std::unique_ptr<DeviceQueue> make_queue() override;

  void set_math_mode(MathMode mode) override;
  MathMode math_mode() const override { return math_mode_; }

  /// Announces a math library. `load` opens it, or throws an error that says why it cannot be used.
  void offer_library(std::function<void()> load) { load_library_ = std::move(load); }

  /// Throws CaptureError if work is being captured. `what` is what the caller asks for, such as "a copy of 4
  /// bytes to the host".
  template <typename... Parts>
  void require_no_capture(const Parts&... what) const {
    require<CaptureError>(!is_capturing(), FER_GPU_SIMT ? "[simt]" : "[cuda]",
                          " a captured step cannot wait for the device, but it asks for ", what...);
  }
  /// Returns a block for captured work, or nullptr if no work is being captured.
  void* allocate_captured(std::size_t bytes);
  /// Releases the block and returns true if it belongs to a graph. If work is being captured, it may read the
  /// block, so the graph takes it over, and the result is also true. Otherwise returns false.
  bool release_captured(void* data, std::size_t bytes) noexcept;
  /// During a capture, the address at which kernels find the number that replay() adds to RandomKey::index.
  /// Otherwise nullptr.
  const std::uint64_t* advance() const { return advance_; }

 private:
  int gpu_;  ///< the GPU of the streams
  gpu::Stream stream_, copy_stream_;
  BlockSource source_;
  MathMode math_mode_ = MathMode::native;
  std::function<void()> load_library_;
  std::mutex mutex_;
  std::shared_ptr<GraphMemory> memory_;  ///< of the work being captured
  std::uint64_t* advance_ = nullptr;
  std::unordered_map<void*, std::shared_ptr<GraphMemory>> captured_;  ///< by block that is in use
};

}  // namespace fer::FER_DEVICE_NAMESPACE
