#include "tensor/caching_allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <tuple>

#include "tensor/out_of_memory.h"

namespace fer {
namespace {

// Sizes are rounded up so that nearly equal requests share blocks: small ones to 256 bytes, large ones to an
// eighth of their power of two (this wastes at most 12.5 %).
std::size_t shared_size(std::size_t bytes) {
  constexpr std::size_t grain = 256;
  if (bytes <= 8 * grain) return std::max(grain, (bytes + grain - 1) / grain * grain);
  std::size_t power = 8 * grain;
  while (power * 2 <= bytes) power *= 2;
  const std::size_t step = power / 8;
  return (bytes + step - 1) / step * step;
}

}  // namespace

CachingAllocator::CachingAllocator(std::string owner, RawAllocate allocate, RawRelease release,
                                   FreeMemory free_memory, Caching caching)
    : owner_(std::move(owner)),
      raw_allocate_(std::move(allocate)),
      raw_release_(std::move(release)),
      free_memory_(std::move(free_memory)) {
  const char* no_cache = std::getenv("FER_NO_CACHE");
  caching_ = caching == Caching::on && !(no_cache && std::strcmp(no_cache, "1") == 0);
}

CachingAllocator::~CachingAllocator() {
  trim();
}

std::size_t CachingAllocator::block_size(std::size_t bytes) const {
  return caching_ ? shared_size(bytes) : std::max<std::size_t>(bytes, 1);
}

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  std::lock_guard lock(mutex_);
  void* data = nullptr;
  if (auto found = free_.find(size); found != free_.end() && !found->second.empty()) {
    data = found->second.back();
    found->second.pop_back();
  } else {
    const auto fits = [&] { return stats_.limit == 0 || stats_.reserved + size <= stats_.limit; };
    if (!fits()) trim_locked();
    if (fits()) data = raw_allocate_(size);
    if (!data && stats_.reserved > stats_.live) {  // freeing the kept blocks may make room
      trim_locked();
      if (fits()) data = raw_allocate_(size);
    }
    if (!data) {
      MemoryShortage shortage{owner_, size, stats_.live, stats_.reserved - stats_.live, stats_.limit, 0, 0};
      if (free_memory_) std::tie(shortage.free, shortage.total) = free_memory_();
      throw_out_of_memory(shortage);
    }
    stats_.reserved += size;
  }
  stats_.live += size;
  stats_.peak = std::max(stats_.peak, stats_.live);
  return data;
}

void CachingAllocator::release(void* data, std::size_t bytes) noexcept {
  if (!data) return;
  const std::size_t size = block_size(bytes);
  std::lock_guard lock(mutex_);
  stats_.live -= size;
  if (caching_) {
    try {
      free_[size].push_back(data);
      return;
    } catch (const std::bad_alloc&) {  // no room to record the block: release it instead
    }
  }
  stats_.reserved -= size;
  raw_release_(data, size);
}

void CachingAllocator::trim() {
  std::lock_guard lock(mutex_);
  trim_locked();
}

void CachingAllocator::trim_locked() {
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) {
      raw_release_(block, size);
      stats_.reserved -= size;
    }
  }
  free_.clear();
}

MemoryStats CachingAllocator::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  std::lock_guard lock(mutex_);
  stats_.peak = stats_.live;
}

void CachingAllocator::set_limit(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  stats_.limit = bytes;
}

}  // namespace fer
