// Layout, poison and red zones of a block's shared memory.
#include "simt/shared_arena.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "fer/error.h"
#include "simt/context.h"

namespace fer::simt::detail {
namespace {
constexpr std::size_t alignment = 16;
std::size_t round_up(std::size_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

void protect([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t bytes) {
#if FER_SIMT_ASAN
  __asan_poison_memory_region(data, bytes);
#endif
}
void unprotect([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t bytes) {
#if FER_SIMT_ASAN
  __asan_unpoison_memory_region(data, bytes);
#endif
}
}  // namespace

namespace {
/// The pattern depends only on the address, so a zone may begin at an odd address.
constexpr std::size_t pattern_bytes = 1024;
const unsigned char* pattern_for(const void* data) {
  static const auto pattern = [] {
    std::array<unsigned char, pattern_bytes + 1> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = i % 2 == 0 ? red_zone_word & 0xff : red_zone_word >> 8;
    return bytes;
  }();
  return pattern.data() + reinterpret_cast<std::uintptr_t>(data) % 2;
}
}  // namespace

void fill_red_zone(void* data, std::size_t bytes) {
  std::memcpy(data, pattern_for(data), bytes);
}

std::size_t damaged_at(const void* data, std::size_t bytes) {
  const unsigned char* expected = pattern_for(data);
  if (std::memcmp(data, expected, bytes) == 0) return bytes;
  const auto* p = static_cast<const unsigned char*>(data);
  return static_cast<std::size_t>(std::mismatch(p, p + bytes, expected).first - p);
}

SharedArena::~SharedArena() {
  if (data_ != nullptr) unprotect(data_, capacity_);
  std::free(data_);
}

void SharedArena::begin_launch(std::size_t dynamic_bytes, std::optional<std::size_t> allowed,
                               std::size_t limit) {
  // Room for the limit and for the red zones of more arrays than any kernel declares.
  const std::size_t wanted = (limit + 64 * (red_zone_bytes + alignment) + 4095) / 4096 * 4096;
  if (data_ != nullptr) unprotect(data_, capacity_);
  if (wanted > capacity_) {
    std::free(data_);
    data_ = static_cast<char*>(std::aligned_alloc(4096, wanted));
    capacity_ = data_ == nullptr ? 0 : wanted;
    require<DeviceError>(data_ != nullptr, "[simt] no memory for a block's shared memory (", wanted,
                         " bytes)");
  }
  asked_ = allowed.has_value();
  limit_ = asked_ ? limit : std::min(limit, launch_limits::shared);
  dynamic_bytes_ = allowed.value_or(dynamic_bytes);
  static_bytes_ = 0;
  parts_.clear();
  used_ = red_zone_bytes;
  fill_red_zone(data_, red_zone_bytes);
  protect(data_, red_zone_bytes);
  append(nullptr, "dynamic shared memory", dynamic_bytes);
}

void SharedArena::append(const SharedArray* array, const char* name, std::size_t bytes) {
  const Part part{array, name, used_, bytes};
  const std::size_t end = used_ + bytes;
  used_ = round_up(end + red_zone_bytes);
  fill_red_zone(data_ + end, used_ - end);
  protect(data_ + end, used_ - end);
  parts_.push_back(part);
  poison(part);
}

void SharedArena::poison(const Part& part) {
  std::memset(data_ + part.offset, 0xff, part.bytes);
}

void SharedArena::begin_block() {
  for (const Part& part : parts_) poison(part);
}

void* SharedArena::add(const SharedArray& array, std::string* why) {
  static_bytes_ += array.bytes;
  if (static_bytes_ > static_shared_limit) {
    *why = concat("FER_SHARED ", array.name, " brings the static shared memory to ", static_bytes_,
                  " bytes, more than the ", static_shared_limit,
                  " that a GPU allows; use FER_DYNAMIC_SHARED for large arrays");
    return nullptr;
  }
  if (static_bytes_ + dynamic_bytes_ > limit_ || used_ + array.bytes + 2 * red_zone_bytes > capacity_) {
    *why = concat("FER_SHARED ", array.name, " brings the block's shared memory to ",
                  static_bytes_ + dynamic_bytes_, " bytes, more than the ", limit_,
                  asked_ ? " that it may have; use smaller tiles"
                         : " that a kernel has unless gpu::allow_dynamic_shared asks for more");
    return nullptr;
  }
  append(&array, array.name, array.bytes);
  return data_ + parts_.back().offset;
}

bool SharedArena::in_one_array(const void* p, std::size_t bytes) const {
  if (!contains(p)) return false;
  const std::size_t offset = offset_of(p);
  return std::any_of(parts_.begin(), parts_.end(), [&](const Part& part) {
    return offset >= part.offset && offset + bytes <= part.offset + part.bytes;
  });
}

std::string SharedArena::describe(const void* p) const {
  const auto offset = static_cast<std::ptrdiff_t>(offset_of(p));
  // An address between two arrays is described relative to the nearer one.
  const auto distance = [&](const Part& part) {
    const auto start = static_cast<std::ptrdiff_t>(part.offset);
    const std::ptrdiff_t end = start + static_cast<std::ptrdiff_t>(part.bytes);
    return offset < start ? start - offset : offset >= end ? offset - end + 1 : 0;
  };
  const Part* nearest = nullptr;
  for (const Part& part : parts_) {
    if (part.bytes == 0 && parts_.size() > 1) continue;  // a launch without dynamic shared memory
    if (nearest == nullptr || distance(part) < distance(*nearest)) nearest = &part;
  }
  if (nearest == nullptr) nearest = &parts_.front();
  const std::ptrdiff_t from_start = offset - static_cast<std::ptrdiff_t>(nearest->offset);
  const std::string name =
      nearest->array == nullptr ? nearest->name : concat("shared array '", nearest->name, "'");
  return concat(name, from_start < 0 ? " - " : " + ", std::abs(from_start), " bytes (it has ", nearest->bytes,
                ")");
}

std::string SharedArena::damage() const {
#if !FER_SIMT_ASAN  // there the zones cannot be read, nor written without a report
  const std::size_t front = damaged_at(data_, red_zone_bytes);
  if (front < red_zone_bytes) return concat("wrote out of bounds: ", describe(data_ + front));
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const std::size_t end = parts_[i].offset + parts_[i].bytes;
    const std::size_t next = i + 1 < parts_.size() ? parts_[i + 1].offset : used_;
    const std::size_t at = damaged_at(data_ + end, next - end);
    if (at < next - end) return concat("wrote out of bounds: ", describe(data_ + end + at));
  }
#endif
  return {};
}

}  // namespace fer::simt::detail
