// The device's queue: events, graphs of captured work with their memory, copies beside the kernels. What the
// calls promise is in fer/tensor/device_runtime.h.
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

/// Where blocks of device memory come from and go to.
struct BlockSource {
  std::function<void*(std::size_t bytes)> allocate;
  std::function<void(void* data, std::size_t bytes)> release;
};

/// The memory of captured work. It all stays with the graph, whose replays write to the same places, and with
/// the tensors that outlive it.
class GraphMemory {
 public:
  explicit GraphMemory(const BlockSource& source) : source_(source) {}
  ~GraphMemory();
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;

  void* allocate(std::size_t bytes);
  /// For the next allocate() of the same size: captured work runs in order.
  void release(void* data, std::size_t bytes) noexcept;
  /// Takes over a block from outside, which captured work may still read.
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

  void set_math_mode(MathMode mode) override;
  MathMode math_mode() const override { return math_mode_; }

  /// There is a math library; `load` makes it ready, or throws why it cannot be used.
  void offer_library(std::function<void()> load) { load_library_ = std::move(load); }

  /// CaptureError naming `what` if work is being captured: "a copy of 4 bytes to the host".
  template <typename... Parts>
  void require_no_capture(const Parts&... what) const {
    require<CaptureError>(!is_capturing(), FER_GPU_SIMT ? "[simt]" : "[cuda]",
                          " a captured step cannot wait for the device, but it asks for ", what...);
  }
  /// A block for captured work; nullptr if there is none being captured.
  void* allocate_captured(std::size_t bytes);
  /// Whether the block is a graph's, or one that captured work may read: then it has been taken care of.
  bool release_captured(void* data, std::size_t bytes) noexcept;
  /// In captured work, where kernels find how much replay() adds to RandomKey::index; else nullptr.
  const std::uint64_t* advance() const { return advance_; }

 private:
  int gpu_;  ///< whose streams these are
  gpu::Stream stream_, copy_stream_;
  BlockSource source_;
  MathMode math_mode_ = MathMode::native;
  std::function<void()> load_library_;
  std::mutex mutex_;
  std::shared_ptr<GraphMemory> memory_;  ///< of the work being captured
  std::uint64_t* advance_ = nullptr;
  std::unordered_map<void*, std::shared_ptr<GraphMemory>> captured_;  ///< by block in use
};

}  // namespace fer::FER_DEVICE_NAMESPACE
