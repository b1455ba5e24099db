// The runtime calls of gpu_simt.h: memory, copies, streams, events and graphs. Work runs immediately, unless
// a stream is being captured.
#include <sys/sysinfo.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "fer/simt/gpu_simt.h"
#include "simt/device_heap.h"
#include "simt/shadow.h"

namespace fer::simt {
namespace detail {

struct StreamState {
  bool capturing = false;
  std::vector<std::function<void()>> captured;
};
struct EventState {
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
};
struct GraphState {
  std::vector<std::function<void()>> work;
};

bool is_capturing(StreamState* stream) {
  return stream != nullptr && stream->capturing;
}
void record(StreamState* stream, std::function<void()> work) {
  stream->captured.push_back(std::move(work));
}

namespace {

/// Runs `work` now or, during capture, when the captured graph is launched.
template <typename Work>
void submit(StreamState* stream, Work work) {
  if (is_capturing(stream)) {
    record(stream, std::move(work));
  } else {
    work();
  }
}

void check_device_range(const char* call, const char* which, const void* data, std::size_t bytes) {
  const DeviceHeap::Allocation a = DeviceHeap::instance().find(data);
  require<CheckError>(
      a.data != nullptr, "[simt] ", call, ": the ", which,
      " is not device memory, as the kind of copy says; give memory from gpu::malloc or another kind");
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(data) - a.data);
  require<CheckError>(offset + bytes <= a.bytes, "[simt] ", call, ": ", bytes, " bytes at offset ", offset,
                      " of the ", which, " run over the end of its ", a.bytes, " bytes");
}

void check_host(const char* which, const void* data) {
  require<CheckError>(!DeviceHeap::instance().contains(data), "[simt] memcpy_async: the ", which,
                      " is device memory, but the kind of copy says host");
}

std::size_t machine_memory() {
  struct sysinfo info {};
  return sysinfo(&info) == 0 ? static_cast<std::size_t>(info.totalram) * info.mem_unit : 0;
}

}  // namespace
}  // namespace detail

namespace gpu {

int device_count() {
  return 1;
}

void set_device(int index) {
  require<DeviceError>(index == 0, "[simt] device ", index, " does not exist; the executor is device 0");
}

DeviceInfo device_info(int index) {
  set_device(index);
  const Options o = options();
  DeviceInfo info;
  info.name = concat("SIMT executor (", description(), ")");
  info.major = 9;
  info.minor = 0;
  info.multiprocessors = 1;
  info.memory = o.memory_limit > 0 ? o.memory_limit : detail::machine_memory();
  info.shared_limit = o.shared_limit;
  return info;
}
std::size_t shared_limit() {
  return options().shared_limit;
}

void* malloc(std::size_t bytes) {
  return detail::DeviceHeap::instance().allocate(bytes, options().memory_limit);
}
void free(void* data) noexcept {
  detail::DeviceHeap::instance().release(data);
}

void* malloc_host(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  require<DeviceError>(data != nullptr, "[simt] out of host memory: ", bytes, " bytes asked for");
  return data;
}
void free_host(void* data) noexcept {
  std::free(data);
}

void memory_info(std::size_t& free_bytes, std::size_t& total) {
  total = device_info(0).memory;
  free_bytes = total - std::min(total, device_memory().live);
}

void memcpy_async(void* to, const void* from, std::size_t bytes, CopyKind kind, Stream stream) {
  if (bytes == 0) return;
  if (kind == CopyKind::host_to_device) {
    detail::check_host("source", from);
  } else {
    detail::check_device_range("memcpy_async", "source", from, bytes);
  }
  if (kind == CopyKind::device_to_host) {
    detail::check_host("destination", to);
  } else {
    detail::check_device_range("memcpy_async", "destination", to, bytes);
  }
  detail::submit(stream, [=] {
    std::memmove(to, from, bytes);
    if (kind == CopyKind::host_to_device) detail::shadow_written(to, bytes);
    if (kind == CopyKind::device_to_device) detail::shadow_copied(to, from, bytes);
  });
}

void memset_async(void* data, int byte, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  detail::check_device_range("memset_async", "destination", data, bytes);
  detail::submit(stream, [=] {
    std::memset(data, byte, bytes);
    detail::shadow_written(data, bytes);
  });
}

Stream stream_create() {
  return new detail::StreamState;
}
void stream_destroy(Stream stream) noexcept {
  delete stream;
}
void stream_synchronize(Stream stream) {
  require<DeviceError>(!detail::is_capturing(stream),
                       "[simt] stream_synchronize on a stream that is being captured; end the capture first");
}
void device_synchronize() {}

Event event_create() {
  return new detail::EventState;
}
void event_destroy(Event event) noexcept {
  delete event;
}
void event_record(Event event, Stream stream) {
  detail::submit(stream, [event] {
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
  });
}
void event_synchronize(Event) {}  // all earlier work is already done
bool event_reached(Event) {
  return true;
}
void stream_wait(Stream, Event) {}
float event_elapsed_ms(Event start, Event stop) {
  require<DeviceError>(start->recorded && stop->recorded,
                       "[simt] event_elapsed_ms: an event was not recorded");
  return std::chrono::duration<float, std::milli>(stop->time - start->time).count();
}

void capture_begin(Stream stream) {
  require<DeviceError>(stream != nullptr,
                       "[simt] capture_begin: the default stream cannot be captured; create one");
  require<DeviceError>(!stream->capturing, "[simt] capture_begin: the stream is being captured already");
  stream->capturing = true;
  stream->captured.clear();
}

Graph capture_end(Stream stream, std::size_t& operations) {
  require<DeviceError>(detail::is_capturing(stream), "[simt] capture_end without capture_begin");
  stream->capturing = false;
  operations = stream->captured.size();
  return new detail::GraphState{std::move(stream->captured)};
}

void capture_abandon(Stream stream) noexcept {
  stream->capturing = false;
  stream->captured.clear();
}

void graph_launch(Graph graph, Stream stream) {
  for (const auto& work : graph->work) detail::submit(stream, work);
}
void graph_destroy(Graph graph) noexcept {
  delete graph;
}

}  // namespace gpu
}  // namespace fer::simt
