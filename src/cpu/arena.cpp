#include "cpu/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace fer::detail {
namespace {

constexpr std::size_t kCacheLine = 64;  // also the size of an AVX-512 vector
constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Address space per region; pages are allocated when first touched. The untouched end of a region is one
// hole, together with free space just below it. Allocation takes the smallest hole that fits, so as long as
// this hole is the largest, it is used last. A smaller region would leave an untouched hole so small that it
// looks like a good fit.
constexpr std::size_t kStretch = std::size_t{64} << 30;

// Smaller blocks come from malloc. Under AddressSanitizer all blocks do, because it detects overruns only of
// malloc's blocks.
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kLeastBlock = SIZE_MAX;
#else
constexpr std::size_t kLeastBlock = 16 << 10;
#endif

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

class Arena {
 public:
  void* allocate(std::size_t size) {
    const std::lock_guard lock(mutex_);
    // The smallest hole that is large enough. Among holes of equal size, the one at the lowest address.
    auto found = by_size_.lower_bound({size, nullptr});
    if (found == by_size_.end()) {
      if (!grow(size)) return nullptr;
      found = by_size_.lower_bound({size, nullptr});
    }
    const auto [hole, begin] = *found;
    remove(begin, hole);
    if (hole > size) add(begin + size, hole - size);
    return begin;
  }

  void release(char* begin, std::size_t size) {
    const std::lock_guard lock(mutex_);
    const auto after = holes_.lower_bound(begin);
    if (after != holes_.end() && begin + size == after->first) {
      const auto [next, length] = *after;
      remove(next, length);
      size += length;
    }
    const auto first_after = holes_.lower_bound(begin);
    if (first_after != holes_.begin()) {
      const auto [previous, length] = *std::prev(first_after);
      if (previous + length == begin) {
        remove(previous, length);
        begin = previous;
        size += length;
      }
    }
    add(begin, size);
  }

 private:
  void add(char* begin, std::size_t size) {
    holes_.emplace(begin, size);
    by_size_.emplace(size, begin);
  }
  void remove(char* begin, std::size_t size) {
    holes_.erase(begin);
    by_size_.erase({size, begin});
  }

  // Adds a region of at least `size` bytes. It is smaller than kStretch if address space is scarce.
  bool grow(std::size_t size) {
    const std::size_t least = round_up(size, kHugePage);
    for (std::size_t wanted = std::max(kStretch, least);; wanted = std::max(wanted / 2, least)) {
      void* map = mmap(nullptr, wanted + kHugePage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (map == MAP_FAILED) {
        if (wanted == least) return false;
        continue;
      }
      char* begin = static_cast<char*>(map);
      begin += (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
#ifdef MADV_HUGEPAGE
      madvise(begin, wanted, MADV_HUGEPAGE);  // makes passes a fifth faster; a hint that may fail
#endif
      add(begin, wanted);
      return true;
    }
  }

  std::mutex mutex_;
  std::map<char*, std::size_t> holes_;
  std::set<std::pair<std::size_t, char*>> by_size_;
};

// Never destroyed: threads free their scratch memory when they end.
Arena& arena() {
  static Arena& only = *new Arena;
  return only;
}

}  // namespace

void* allocate_block(std::size_t bytes) {
  const std::size_t size = round_up(bytes, kCacheLine);
  return bytes < kLeastBlock ? std::aligned_alloc(kCacheLine, size) : arena().allocate(size);
}

void free_block(void* data, std::size_t bytes) noexcept {
  if (!data) return;
  if (bytes < kLeastBlock) return std::free(data);
  arena().release(static_cast<char*>(data), round_up(bytes, kCacheLine));
}

}  // namespace fer::detail
