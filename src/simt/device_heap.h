// The executor's device memory: allocations with red zones, from one reserved address range. With one range,
// "is this device memory?" is one comparison, and each word has a fixed place in the checker's shadow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <string>

namespace fer::simt::detail {

class DeviceHeap {
 public:
  struct Allocation {
    char* data = nullptr;
    std::size_t bytes = 0;
  };

  /// The process's heap; never destroyed, so that tensors with static lifetime can still be freed.
  static DeviceHeap& instance();

  /// 256-byte aligned, filled with NaN. Throws DeviceError if there is no room.
  void* allocate(std::size_t bytes, std::size_t limit);
  void release(void* data) noexcept;

  /// Whether p is an address of the range, allocated or not.
  bool contains(const void* p) const {
    return static_cast<std::size_t>(static_cast<const char*>(p) - base_) < reserved_;
  }
  bool spans(const void* p, std::size_t bytes) const {
    return contains(p) && contains(static_cast<const char*>(p) + bytes - (bytes > 0));
  }
  /// The allocation that p points into, or just past; data is null if there is none.
  Allocation find(const void* p) const;
  /// A description of writes outside the allocation that holds p (or one freed since the last call), or
  /// empty.
  std::string damage(const void* p);

  char* base() const { return base_; }
  std::size_t reserved() const { return reserved_; }
  std::size_t live() const;
  std::size_t peak() const;
  void reset_peak();
  /// Calls visit(Allocation) for every allocation.
  template <typename Visit>
  void for_each(Visit visit) const {
    const std::shared_lock lock(mutex_);
    for (const auto& [data, bytes] : live_) visit(Allocation{data, bytes});
  }

 private:
  DeviceHeap();
  char* take_free(std::size_t bytes);
  void commit(std::size_t end);

  mutable std::shared_mutex mutex_;
  char* base_ = nullptr;
  std::size_t reserved_ = 0, committed_ = 0, top_ = 0;
  std::size_t live_bytes_ = 0, peak_bytes_ = 0;
  std::map<char*, std::size_t> live_;  ///< data -> bytes asked for
  std::map<char*, std::size_t> free_;  ///< start -> bytes, neighbours merged
  std::string freed_damage_;
};

}  // namespace fer::simt::detail
