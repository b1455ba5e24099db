// Graphs, events and copies. One stream orders all kernels; a second stream copies concurrently. A graph is
// the work that the first stream received between begin and end of a capture.
#include "cuda/runtime.h"

#include <new>
#include <utility>

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

/// Sets the number that a replay adds to RandomKey::index. One thread.
__global__ void set_advance_kernel(std::uint64_t* advance, std::uint64_t value) {
  *advance = value;
}

class Event final : public DeviceEvent {
 public:
  explicit Event(gpu::Stream stream) : event_(gpu::event_create()) { gpu::event_record(event_, stream); }
  ~Event() override { gpu::event_destroy(event_); }
  void wait() override { gpu::event_synchronize(event_); }
  bool reached() override { return gpu::event_reached(event_); }
  gpu::Event handle() const { return event_; }

 private:
  gpu::Event event_;
};

gpu::Event handle_of(DeviceEvent& event) {
  return static_cast<Event&>(event).handle();
}

class Queue final : public DeviceQueue {
 public:
  Queue() : stream_(gpu::stream_create()) {}
  ~Queue() override { gpu::stream_destroy(stream_); }
  void* stream() override { return stream_; }
  void wait_for(DeviceEvent& event) override { gpu::stream_wait(stream_, handle_of(event)); }
  std::unique_ptr<DeviceEvent> record() override { return std::make_unique<Event>(stream_); }

 private:
  gpu::Stream stream_;
};

class Graph final : public DeviceGraph {
 public:
  Graph(gpu::Graph graph, std::size_t operations, std::shared_ptr<GraphMemory> memory, std::uint64_t* advance,
        const Runtime& runtime, gpu::Stream stream)
      : graph_(graph),
        operations_(operations),
        memory_(std::move(memory)),
        advance_(advance),
        runtime_(runtime),
        stream_(stream) {}
  ~Graph() override {
    try {
      gpu::stream_synchronize(stream_);  // a replay may still run
    } catch (const Error&) {             // the device has failed; its next use throws
    }
    gpu::graph_destroy(graph_);
  }

  void replay(std::uint64_t advance) override {
    runtime_.require_no_capture("the replay of another");
    gpu::launch(set_advance_kernel, 1, 1, 0, stream_, advance_, advance);
    gpu::graph_launch(graph_, stream_);
  }
  std::size_t operations() const override { return operations_; }

 private:
  gpu::Graph graph_;
  std::size_t operations_;
  std::shared_ptr<GraphMemory> memory_;
  std::uint64_t* advance_;
  const Runtime& runtime_;
  gpu::Stream stream_;
};

int current_gpu() {
#if FER_GPU_SIMT
  return 0;
#else
  int index = 0;
  gpu::check(cudaGetDevice(&index), "cudaGetDevice");
  return index;
#endif
}

/// The executor detects writes beyond the end of a tensor, so its blocks are exactly as large as the tensors.
std::size_t block_bytes(std::size_t bytes) {
  constexpr std::size_t grain = 512;
  return FER_GPU_SIMT ? bytes : (bytes + grain - 1) / grain * grain;
}

}  // namespace

GraphMemory::~GraphMemory() {
  for (const Block& block : blocks_) source_.release(block.data, block.bytes);
}

void* GraphMemory::allocate(std::size_t bytes) {
  const std::size_t size = block_bytes(bytes);
  if (const auto found = free_.find(size); found != free_.end()) {
    void* data = found->second;
    free_.erase(found);
    return data;
  }
  blocks_.reserve(blocks_.size() + 1);
  blocks_.push_back({source_.allocate(size), size});
  return blocks_.back().data;
}

void GraphMemory::release(void* data, std::size_t bytes) noexcept {
  // The executor's checks identify tensors by their memory, so there blocks are not reused.
  if (FER_GPU_SIMT) return;
  try {
    free_.emplace(block_bytes(bytes), data);
  } catch (const std::bad_alloc&) {  // the block is not reused; it is freed with the graph
  }
}

void GraphMemory::keep(void* data, std::size_t bytes) {
  blocks_.push_back({data, bytes});
}

Runtime::Runtime(gpu::Stream stream, BlockSource source)
    : gpu_(current_gpu()), stream_(stream), copy_stream_(gpu::stream_create()), source_(std::move(source)) {}

Runtime::~Runtime() {
  gpu::stream_destroy(copy_stream_);
}

void Runtime::enter_thread() {
  thread_local bool entered = false;
  if (entered) return;
  gpu::set_device(gpu_);
  entered = true;
}

void Runtime::set_math_mode(MathMode mode) {
  if (mode == MathMode::library) {
    require<DeviceError>(
        load_library_ != nullptr,
        FER_GPU_SIMT
            ? "device simt runs fer's own kernels (--math native); cuBLAS and cuDNN run only on device cuda"
            : "device cuda: this build has no cuBLAS and cuDNN, as their headers were not found when it was "
              "configured; install both and configure again, or use --math native");
    load_library_();
  }
  math_mode_ = mode;
}

void Runtime::begin_capture() {
  require_no_capture("a capture within it");
  auto memory = std::make_shared<GraphMemory>(source_);
  advance_ = static_cast<std::uint64_t*>(memory->allocate(sizeof(std::uint64_t)));
  gpu::capture_begin(stream_);
  memory_ = std::move(memory);
}

std::unique_ptr<DeviceGraph> Runtime::end_capture() {
  const std::shared_ptr<GraphMemory> memory = std::exchange(memory_, nullptr);
  std::uint64_t* advance = std::exchange(advance_, nullptr);
  std::size_t operations = 0;
  const gpu::Graph graph = gpu::capture_end(stream_, operations);
  return std::make_unique<Graph>(graph, operations, memory, advance, *this, stream_);
}

void Runtime::abandon_capture() noexcept {
  memory_ = nullptr;
  advance_ = nullptr;
  gpu::capture_abandon(stream_);
}

void* Runtime::allocate_captured(std::size_t bytes) {
  if (!memory_) return nullptr;
  const std::lock_guard lock(mutex_);
  void* data = memory_->allocate(bytes);
  captured_.emplace(data, memory_);
  return data;
}

bool Runtime::release_captured(void* data, std::size_t bytes) noexcept {
  std::shared_ptr<GraphMemory> last;  // outlives the lock: it may free blocks, which locks their source
  const std::lock_guard lock(mutex_);
  if (const auto found = captured_.find(data); found != captured_.end()) {
    last = std::move(found->second);
    captured_.erase(found);
    last->release(data, bytes);
    return true;
  }
  if (!memory_) return false;
  try {
    memory_->keep(data, bytes);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

std::unique_ptr<DeviceEvent> Runtime::record() {
  require_no_capture("an event");
  return std::make_unique<Event>(stream_);
}

double Runtime::seconds_between(DeviceEvent& start, DeviceEvent& stop) {
  stop.wait();
  return 1e-3 * static_cast<double>(gpu::event_elapsed_ms(handle_of(start), handle_of(stop)));
}

std::shared_ptr<void> Runtime::pinned_memory(std::size_t bytes) {
  return {gpu::malloc_host(bytes), [](void* data) { gpu::free_host(data); }};
}

std::unique_ptr<DeviceEvent> Runtime::copy_beside(void* to, const void* pinned, std::size_t bytes,
                                                  DeviceEvent* after) {
  if (after != nullptr) gpu::stream_wait(copy_stream_, handle_of(*after));
  gpu::memcpy_async(to, pinned, bytes, gpu::CopyKind::host_to_device, copy_stream_);
  return std::make_unique<Event>(copy_stream_);
}

void Runtime::wait_for(DeviceEvent& event) {
  gpu::stream_wait(stream_, handle_of(event));
}

std::unique_ptr<DeviceQueue> Runtime::make_queue() {
  return std::make_unique<Queue>();
}

}  // namespace fer::FER_DEVICE_NAMESPACE
