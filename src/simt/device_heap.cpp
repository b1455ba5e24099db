// Device memory: first fit in a reserved range, 256-byte red zones on both sides, NaN inside.
#include "simt/device_heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "fer/error.h"
#include "simt/context.h"
#include "simt/shadow.h"
#include "simt/shared_arena.h"

namespace fer::simt::detail {
namespace {
constexpr std::size_t zone = 256;
constexpr std::size_t commit_step = std::size_t{16} << 20;
constexpr std::size_t return_to_system = std::size_t{1} << 20;

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}
/// An allocation with its zones: [zone][data][the rest of its last 256 bytes and a zone].
std::size_t slot_bytes(std::size_t bytes) {
  return zone + round_up(bytes, zone) + zone;
}
std::size_t rear_zone_bytes(std::size_t bytes) {
  return round_up(bytes, zone) + zone - bytes;
}
}  // namespace

DeviceHeap& DeviceHeap::instance() {
  static DeviceHeap& heap = *new DeviceHeap;
  return heap;
}

DeviceHeap::DeviceHeap() {
  for (std::size_t bytes = std::size_t{64} << 30; bytes >= (std::size_t{1} << 30); bytes /= 4) {
    void* range = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) continue;
    base_ = static_cast<char*>(range);
    reserved_ = bytes;
    break;
  }
  require<DeviceError>(base_ != nullptr,
                       "[simt] the system does not let this process reserve 1 GB of addresses "
                       "for device memory; raise its limit (ulimit -v)");
}

void DeviceHeap::commit(std::size_t end) {
  if (end <= committed_) return;
  const std::size_t upto = std::min(round_up(end, commit_step), reserved_);
  require<DeviceError>(mprotect(base_ + committed_, upto - committed_, PROT_READ | PROT_WRITE) == 0,
                       "[simt] out of memory: the system gives no more than ", committed_,
                       " bytes; use a smaller batch or image");
  committed_ = upto;
}

char* DeviceHeap::take_free(std::size_t bytes) {
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second < bytes) continue;
    char* slot = it->first;
    const std::size_t rest = it->second - bytes;
    free_.erase(it);
    if (rest > 0) free_.emplace(slot + bytes, rest);
    return slot;
  }
  require<DeviceError>(reserved_ - top_ >= bytes, "[simt] out of memory: ", bytes, " bytes asked for, ",
                       live_bytes_, " in use of a range of ", reserved_, "; use a smaller batch or image");
  commit(top_ + bytes);
  char* slot = base_ + top_;
  top_ += bytes;
  return slot;
}

void* DeviceHeap::allocate(std::size_t bytes, std::size_t limit) {
  if (bytes == 0) return nullptr;
  const std::unique_lock lock(mutex_);
  require<DeviceError>(limit == 0 || live_bytes_ + bytes <= limit, "[simt] out of memory: ", bytes,
                       " bytes asked for, ", live_bytes_, " in use of a limit of ", limit,
                       "; use a smaller batch or image, or raise the limit");
  require<DeviceError>(bytes <= reserved_, "[simt] out of memory: ", bytes,
                       " bytes asked for, device memory has ", reserved_);
  char* data = take_free(slot_bytes(bytes)) + zone;
#if FER_SIMT_ASAN
  __asan_unpoison_memory_region(data - zone, slot_bytes(bytes));
#endif
  std::memset(data, 0xff, bytes);
  fill_red_zone(data - zone, zone);
  fill_red_zone(data + bytes, rear_zone_bytes(bytes));
#if FER_SIMT_ASAN
  __asan_poison_memory_region(data - zone, zone);
  __asan_poison_memory_region(data + bytes, rear_zone_bytes(bytes));
#endif
  live_.emplace(data, bytes);
  live_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, live_bytes_);
  shadow_allocated(data, bytes, false);
  return data;
}

namespace {
std::string zone_damage([[maybe_unused]] const char* data, [[maybe_unused]] std::size_t bytes) {
#if !FER_SIMT_ASAN
  const std::size_t front = damaged_at(data - zone, zone);
  if (front < zone) {
    return concat("wrote out of bounds: ", zone - front, " bytes before a device allocation of ", bytes,
                  " bytes");
  }
  const std::size_t rear = damaged_at(data + bytes, rear_zone_bytes(bytes));
  if (rear < rear_zone_bytes(bytes)) {
    return concat("wrote out of bounds: ", rear, " bytes behind the end of a device allocation of ", bytes,
                  " bytes");
  }
#endif
  return {};
}
}  // namespace

void DeviceHeap::release(void* data) noexcept {
  const std::unique_lock lock(mutex_);
  const auto it = live_.find(static_cast<char*>(data));
  if (it == live_.end()) {
    if (data != nullptr)
      freed_damage_ = "gpu::free of something that gpu::malloc did not give, or freed twice";
    return;
  }
  const std::size_t bytes = it->second;
  if (std::string damage = zone_damage(it->first, bytes); !damage.empty()) freed_damage_ = std::move(damage);
  live_.erase(it);
  live_bytes_ -= bytes;
  shadow_released(data, bytes);
  char* start = static_cast<char*>(data) - zone;
  std::size_t size = slot_bytes(bytes);
#if FER_SIMT_ASAN
  __asan_poison_memory_region(start, size);
#endif
  if (bytes >= return_to_system) {  // return whole pages to the system; they read as zero when next touched
    const auto first = round_up(reinterpret_cast<std::uintptr_t>(data), 4096);
    const auto last = (reinterpret_cast<std::uintptr_t>(data) + bytes) / 4096 * 4096;
    if (last > first) (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
  auto next = free_.lower_bound(start);
  if (next != free_.end() && start + size == next->first) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == start) {
      before->second += size;
      return;
    }
  }
  free_.emplace(start, size);
}

DeviceHeap::Allocation DeviceHeap::find(const void* p) const {
  if (!contains(p)) return {};
  const std::shared_lock lock(mutex_);
  auto it = live_.upper_bound(const_cast<char*>(static_cast<const char*>(p)));
  if (it == live_.begin()) return {};
  --it;
  if (static_cast<const char*>(p) > it->first + it->second) return {};
  return {it->first, it->second};
}

std::string DeviceHeap::damage(const void* p) {
  const Allocation allocation = find(p);
  const std::unique_lock lock(mutex_);
  if (!freed_damage_.empty()) return std::exchange(freed_damage_, {});
  if (allocation.data == nullptr) return {};
  std::string text = zone_damage(allocation.data, allocation.bytes);
  if (!text.empty()) {  // report it once: later kernels did not cause it
    fill_red_zone(allocation.data - zone, zone);
    fill_red_zone(allocation.data + allocation.bytes, rear_zone_bytes(allocation.bytes));
  }
  return text;
}

std::size_t DeviceHeap::live() const {
  const std::shared_lock lock(mutex_);
  return live_bytes_;
}
std::size_t DeviceHeap::peak() const {
  const std::shared_lock lock(mutex_);
  return peak_bytes_;
}
void DeviceHeap::reset_peak() {
  const std::unique_lock lock(mutex_);
  peak_bytes_ = live_bytes_;
}

}  // namespace fer::simt::detail
