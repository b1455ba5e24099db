// The shared memory of a block: its dynamic part and its static arrays side by side, each with a red zone
// before and after it. Everything is NaN before a block starts. A red zone that has changed when the block
// ends shows a write out of bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fer/simt/device.h"
#include "fer/simt/launch_limits.h"

namespace fer::simt::detail {

inline constexpr std::size_t red_zone_bytes = 128;
inline constexpr std::uint16_t red_zone_word = 0xfff5;  ///< a NaN as bf16, float and double
inline constexpr std::size_t static_shared_limit = launch_limits::shared;

void fill_red_zone(void* data, std::size_t bytes);
/// Offset of the first changed byte, or `bytes`.
std::size_t damaged_at(const void* data, std::size_t bytes);

class SharedArena {
 public:
  struct Part {
    const SharedArray* array;  ///< null: the dynamic part
    const char* name;
    std::size_t offset, bytes;
  };

  SharedArena() = default;
  ~SharedArena();
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;

  /// Called before a launch: forgets the arrays of the previous launch and makes room for `dynamic_bytes`. If
  /// the kernel requested dynamic memory, `allowed` is the size it requested: `allowed` plus the static
  /// arrays must fit in `limit`. Otherwise dynamic and static memory must fit in the default limit.
  void begin_launch(std::size_t dynamic_bytes, std::optional<std::size_t> allowed, std::size_t limit);
  /// Before a block: everything NaN.
  void begin_block();

  /// The array's memory; null with `why` if it does not fit.
  void* find(const SharedArray& array, std::string* why) {
    for (const Part& part : parts_) {
      if (part.array == &array) return data_ + part.offset;
    }
    return add(array, why);
  }
  void* dynamic() { return data_ + parts_.front().offset; }

  bool contains(const void* p) const {
    return static_cast<std::size_t>(static_cast<const char*>(p) - data_) < used_;
  }
  std::size_t offset_of(const void* p) const {
    return static_cast<std::size_t>(static_cast<const char*>(p) - data_);
  }
  /// Whether all of [p, p + bytes) lies in one array.
  bool in_one_array(const void* p, std::size_t bytes) const;
  /// "shared array 'tile' + 132 bytes", for any address in the arena.
  std::string describe(const void* p) const;
  /// A description of the writes out of bounds, or empty.
  std::string damage() const;

  const std::vector<Part>& parts() const { return parts_; }
  std::size_t used() const { return used_; }

 private:
  void* add(const SharedArray& array, std::string* why);
  void append(const SharedArray* array, const char* name, std::size_t bytes);
  void poison(const Part& part);

  char* data_ = nullptr;
  std::size_t capacity_ = 0, used_ = 0, limit_ = 0;
  std::size_t dynamic_bytes_ = 0, static_bytes_ = 0;
  bool asked_ = false;  ///< dynamic_bytes_ is the size that the kernel requested
  std::vector<Part> parts_;
};

}  // namespace fer::simt::detail
