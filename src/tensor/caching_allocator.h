// Keeps released blocks for reuse. A training step requests the same sizes as the previous one, so it takes
// nothing from the system. Every backend uses this on top of its own raw allocation.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "fer/tensor/backend.h"

namespace fer {

class CachingAllocator {
 public:
  using RawAllocate = std::function<void*(std::size_t bytes)>;  ///< returns nullptr if there is no room
  using RawRelease = std::function<void(void*, std::size_t bytes)>;
  using FreeMemory = std::function<std::pair<std::size_t, std::size_t>()>;  ///< free and total bytes
  /// off: keeps nothing and does not round sizes. Meant for a raw allocation that serves any size from its
  /// free memory. FER_NO_CACHE=1 in the environment turns caching off everywhere, so that sanitizers see the
  /// end of every block.
  enum class Caching { on, off };

  /// `owner` names the device in messages. They include the result of `free_memory`, if given.
  CachingAllocator(std::string owner, RawAllocate allocate, RawRelease release, FreeMemory free_memory = {},
                   Caching caching = Caching::on);
  ~CachingAllocator();

  /// Allocates at least `bytes` bytes. Throws DeviceError with this allocator's figures if there is no room.
  void* allocate(std::size_t bytes);
  void release(void* data, std::size_t bytes) noexcept;
  /// Returns all blocks that are not in use to the system.
  void trim();

  MemoryStats stats() const;
  void reset_peak();
  /// Refuses to hold more than `bytes`; 0: no limit.
  void set_limit(std::size_t bytes);

 private:
  std::size_t block_size(std::size_t bytes) const;
  void trim_locked();

  std::string owner_;
  RawAllocate raw_allocate_;
  RawRelease raw_release_;
  FreeMemory free_memory_;
  bool caching_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;  // by block size
  MemoryStats stats_;
};

}  // namespace fer
