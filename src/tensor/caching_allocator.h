// Keeps released blocks for reuse, so that a training step, which asks for the same sizes as the one before,
// takes nothing from the system. Used by every backend over its own raw allocation.
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
  using RawAllocate = std::function<void*(std::size_t bytes)>;  ///< returns nullptr when there is no room
  using RawRelease = std::function<void(void*, std::size_t bytes)>;
  using FreeMemory = std::function<std::pair<std::size_t, std::size_t>()>;  ///< free and total bytes
  /// off: nothing is kept, and blocks have the size that was asked for. For a raw allocation that serves any
  /// size from what is free; with FER_NO_CACHE=1 in the environment for all, so that sanitizers see every
  /// block's end.
  enum class Caching { on, off };

  /// `owner` names the device in messages, which tell `free_memory` if it is given.
  CachingAllocator(std::string owner, RawAllocate allocate, RawRelease release, FreeMemory free_memory = {},
                   Caching caching = Caching::on);
  ~CachingAllocator();

  /// At least `bytes` bytes. DeviceError with the figures of this allocator when there is no room.
  void* allocate(std::size_t bytes);
  void release(void* data, std::size_t bytes) noexcept;
  /// Gives everything that is not in use back to the system.
  void trim();

  MemoryStats stats() const;
  void reset_peak();
  /// Refuse to hold more than this; 0: no limit.
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
