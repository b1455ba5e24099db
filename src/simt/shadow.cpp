// The checker's rules: which accesses are ordered, what is a race, and what is initialised.
#include "simt/shadow.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "simt/device_heap.h"
#include "simt/shadow_report.h"

namespace fer::simt::detail {
namespace {

/// Shadow of the heap's whole range. The system allocates its pages when they are first touched.
struct HeapShadow {
  std::uint8_t* state = nullptr;
  Cell* cells = nullptr;
  char* base = nullptr;
  std::size_t bytes = 0;

  std::size_t word(const void* p) const {
    return static_cast<std::size_t>(static_cast<const char*>(p) - base) / 4;
  }
  bool contains(const void* p) const {
    return static_cast<std::size_t>(static_cast<const char*>(p) - base) < bytes;
  }
};
HeapShadow heap;
std::atomic<bool> expected{false};

std::uint32_t next_serial = 1;
/// For each atomic variable, the blocks that accessed it after a fence, in this launch.
std::unordered_map<const void*, std::vector<bool>> released;

template <typename T>
T* map_lazily(std::size_t count) {
  void* p = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require<DeviceError>(
      p != MAP_FAILED, "[simt] the system does not let this process reserve ", count * sizeof(T),
      " bytes of addresses for the race checker; raise its limit (ulimit -v) or build without "
      "FER_SIMT_CHECK");
  return static_cast<T*>(p);
}

void set_state(const void* data, std::size_t bytes, std::uint8_t state) {
  std::memset(heap.state + heap.word(data), state, (bytes + 3) / 4);
}

void map_shadow(char* base, std::size_t bytes) {
  if (heap.state != nullptr) return;
  heap.state = map_lazily<std::uint8_t>(bytes / 4);
  heap.cells = map_lazily<Cell>(bytes / 4);
  heap.base = base;
  heap.bytes = bytes;
}

/// Calls visit(word index, mask of bytes) for each word of the range.
template <typename Visit>
void for_each_word(std::size_t offset, std::size_t bytes, Visit visit) {
  const std::size_t end = offset + bytes;
  for (std::size_t at = offset & ~std::size_t{3}; at < end; at += 4) {
    unsigned mask = 0xf;
    if (at < offset) mask &= 0xfu << (offset - at);
    if (at + 4 > end) mask &= 0xfu >> (at + 4 - end);
    visit(at / 4, mask);
  }
}

}  // namespace

bool expect_instrumented_kernels() noexcept {
  expected = true;
  return true;
}

void shadow_allocated(const void* data, std::size_t bytes, bool initialised) {
  if (!expected) return;
  if (heap.state == nullptr) {
    const DeviceHeap& owner = DeviceHeap::instance();
    map_shadow(owner.base(), owner.reserved());
  }
  set_state(data, bytes, word_allocated | (initialised ? 0xf : 0));
}

bool is_shadow_used() {
  return heap.state != nullptr;
}

void shadow_released(const void* data, std::size_t bytes) {
  if (heap.state != nullptr) set_state(data, bytes, 0);
}

void shadow_written(const void* data, std::size_t bytes) {
  if (heap.state == nullptr) return;
  for_each_word(static_cast<std::size_t>(static_cast<const char*>(data) - heap.base), bytes,
                [](std::size_t word, unsigned mask) { heap.state[word] |= static_cast<std::uint8_t>(mask); });
}

void shadow_copied(const void* to, const void* from, std::size_t bytes) {
  if (heap.state == nullptr) return;
  const auto to_offset = static_cast<std::size_t>(static_cast<const char*>(to) - heap.base);
  const auto from_offset = static_cast<std::size_t>(static_cast<const char*>(from) - heap.base);
  for (std::size_t i = 0; i < bytes; ++i) {
    const bool known = (heap.state[(from_offset + i) / 4] >> (from_offset + i) % 4 & 1u) != 0;
    std::uint8_t& state = heap.state[(to_offset + i) / 4];
    const auto bit = static_cast<std::uint8_t>(1u << (to_offset + i) % 4);
    state = static_cast<std::uint8_t>(known ? state | bit : state & ~bit);
  }
}

void begin_checked_launch(Launch& launch) {
  if (heap.state ==
      nullptr) {  // the library with the kernels was loaded late: existing memory counts as initialised
    expected = true;
    const DeviceHeap& owner = DeviceHeap::instance();
    map_shadow(owner.base(), owner.reserved());
    owner.for_each([](const DeviceHeap::Allocation& a) { set_state(a.data, a.bytes, word_allocated | 0xf); });
  }
  constexpr std::int64_t serials = (1 << 24) - 1;
  require<CheckError>(launch.blocks < serials, "[simt] a checked launch may have at most ", serials - 1,
                      " blocks, this one has ", launch.blocks, "; check a smaller case");
  if (next_serial + launch.blocks > serials) {  // start over, with every old record forgotten
    DeviceHeap::instance().for_each([](const DeviceHeap::Allocation& a) {
      std::memset(static_cast<void*>(heap.cells + heap.word(a.data)), 0, (a.bytes + 3) / 4 * sizeof(Cell));
    });
    next_serial = 1;
  }
  launch.first_serial = next_serial;
  next_serial += static_cast<std::uint32_t>(launch.blocks);
  released.clear();
}

void begin_checked_block(Block& block) {
  block.warp_event.fill(0);
  for (auto& table : block.known) table.clear();
  if (block.shadow == nullptr) block.shadow = std::make_unique<BlockShadow>();
  block.shadow->acquired.clear();
  block.shadow->state.assign(block.shared.used() / 4, 0);
  // No cell can hold an equal serial from an earlier launch: serials are reused only after 16 million blocks.
  block.shadow->cells.resize(block.shared.used() / 4);
  for (const SharedArena::Part& part : block.shared.parts()) add_checked_part(block, part);
}

void add_checked_part(Block& block, const SharedArena::Part& part) {
  BlockShadow& shadow = *block.shadow;
  shadow.state.resize(std::max(shadow.state.size(), block.shared.used() / 4));
  shadow.cells.resize(std::max(shadow.cells.size(), block.shared.used() / 4));
  std::fill_n(shadow.state.begin() + static_cast<std::ptrdiff_t>(part.offset / 4), (part.bytes + 3) / 4,
              word_allocated);
}

// --- time ---

void note_block_barrier(Block& block) {
  block.barrier_event = ++block.events;
}

void note_warp_barrier(Block& block, Warp& warp, unsigned mask) {
  const std::uint32_t time = ++block.events;
  const auto number = static_cast<std::size_t>(warp.number);
  const unsigned present = warp.exists & ~warp.finished;
  if ((mask & present) == present) {
    block.warp_event[number] = time;
    return;
  }
  // Only part of the warp: known[l][x] is the time before which accesses of lane x are ordered before lane l.
  std::vector<std::uint32_t>& known = block.known[number];
  known.resize(32 * 32);
  for (std::size_t x = 0; x < 32; ++x) {
    std::uint32_t latest = 0;
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
      latest = std::max(latest, known[static_cast<std::size_t>(std::countr_zero(rest)) * 32 + x]);
    }
    if ((mask >> x & 1u) != 0) latest = time;
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
      known[static_cast<std::size_t>(std::countr_zero(rest)) * 32 + x] = latest;
    }
  }
}

void fence() {
  if (current_block != nullptr) current_block->fenced = true;
}

namespace {

/// Whether an access of this block at (time, thread) is ordered before what the running lane does now.
bool is_before(const Block& block, const Record& record) {
  if (record.time < block.barrier_event) return true;
  const auto warp = static_cast<std::size_t>(block.now >> 5);
  if (std::size_t{record.thread} >> 5 != warp) return false;
  if (record.time < block.warp_event[warp]) return true;
  const std::vector<std::uint32_t>& known = block.known[warp];
  return !known.empty() &&
         record.time < known[static_cast<std::size_t>(block.now & 31) * 32 + (record.thread & 31)];
}

/// Release and acquire through an atomic: the pattern in which the last block finishes the work of all
/// blocks.
void synchronise_blocks(Block& block, const void* variable) {
  const auto blocks = static_cast<std::size_t>(block.launch->blocks);
  std::vector<bool>& passed = released[variable];
  std::vector<bool>& acquired = block.shadow->acquired;
  passed.resize(blocks);
  acquired.resize(blocks);
  for (std::size_t i = 0; i < blocks; ++i) {
    if (passed[i]) acquired[i] = true;
    if (block.fenced && acquired[i]) passed[i] = true;
  }
  if (block.fenced) passed[static_cast<std::size_t>(block.position)] = true;
}

/// Checks one access; block.now is the lane.
struct Checker {
  Block& block;
  Access kind;
  std::int32_t place;
  std::uint64_t oldest_serial;  ///< records below are of earlier launches (device) or blocks (shared)
  const void* address;          ///< of the word, for the report

  bool conflicts(const Record& record, unsigned mask) const {
    if (record.serial < oldest_serial || record.serial == 0 || (record.mask & mask) == 0) return false;
    if (record.serial == block.serial) {
      const bool alone = record.thread == static_cast<unsigned>(block.now);
      return !alone && !is_before(block, record);
    }
    const std::vector<bool>& acquired = block.shadow->acquired;
    const auto position = static_cast<std::size_t>(record.serial - block.launch->first_serial);
    return position >= acquired.size() || !acquired[position];
  }
  /// A read record that stands for several lanes of its warp also conflicts with a write by its own thread.
  bool read_conflicts(const Record& record, unsigned mask) const {
    if (record.flag != 0 && record.serial == block.serial && (record.mask & mask) != 0 &&
        record.thread == static_cast<unsigned>(block.now)) {
      return !is_before(block, record);
    }
    return conflicts(record, mask);
  }

  Record record(unsigned mask) const {
    Record r{};
    r.serial = block.serial;
    r.time = block.events;
    r.thread = static_cast<unsigned>(block.now);
    r.mask = mask;
    return r;
  }

  void write(Cell& cell, unsigned mask) const {
    for (Record& reader : cell.read) {
      if (read_conflicts(reader, mask))
        report_race(block, kind, address, place, reader, Access::read, cell.read_place);
      if ((reader.mask & mask) != 0) reader = Record{};
    }
    Record latest = record(mask);
    latest.flag = kind == Access::atomic;
    const Record& old = cell.write;
    if (old.serial == latest.serial && old.time == latest.time && old.thread == latest.thread)
      latest.mask |= old.mask;
    cell.write = latest;
    cell.write_place = place;
  }

  void read(Cell& cell, unsigned mask) const {
    const Record latest = record(mask);
    cell.read_place = place;
    for (Record& reader : cell.read) {
      const bool stale = reader.serial == 0 || reader.serial < oldest_serial ||
                         (reader.serial == latest.serial && reader.time < block.barrier_event);
      if (stale) {
        reader = latest;
        return;
      }
      if (reader.serial == latest.serial && reader.thread >> 5 == latest.thread >> 5) {
        merge(reader, latest);
        return;
      }
    }
    // Both records are of other warps. Keep them if they are of two blocks, or of this block. If both are of
    // one other block, replace one, so that the readers are of two blocks.
    if (cell.read[0].serial == cell.read[1].serial && cell.read[0].serial != latest.serial)
      cell.read[1] = latest;
  }

  void merge(Record& reader, const Record& latest) const {
    if (reader.thread != latest.thread && !is_before(block, reader)) {
      // No barrier of this warp lies between the two reads, so from here on both count as equally old.
      const auto mask = reader.mask | latest.mask;
      reader.time = latest.time;
      reader.mask = mask;
      reader.flag = 1;
      return;
    }
    const bool keep = reader.thread == latest.thread && reader.time == latest.time;
    const auto flag = keep ? reader.flag : 0;
    const auto mask = keep ? reader.mask | latest.mask : latest.mask;
    reader = latest;
    reader.flag = flag;
    reader.mask = mask;
  }

  void word(Cell& cell, std::uint8_t& state, unsigned mask) const {
    if ((state & word_allocated) == 0) report_out_of_bounds(block, kind, address, place);
    if (kind != Access::write && (state & mask) != mask) {
      report_uninitialised(block, address, place, (state & word_pending) != 0);
    }
    const bool both_atomic = kind == Access::atomic && cell.write.flag != 0;
    if (!both_atomic && conflicts(cell.write, mask)) {
      report_race(block, kind, address, place, cell.write, Access::write, cell.write_place);
    }
    if (kind == Access::read) {
      read(cell, mask);
    } else {
      write(cell, mask);
      state |= static_cast<std::uint8_t>(mask);
    }
  }
};

}  // namespace

void check_access(Block& block, const void* data, std::size_t bytes, Access kind, const void* place) {
  if (bytes == 0) return;
  if (block.out_of_time) [[unlikely]] {
    block.failure.place[0] = place;
    block.raise_time_limit("@1");
    block.leave();
  }
  const auto relative = static_cast<std::int32_t>(static_cast<const char*>(place) - code_origin());
  if (block.shared.contains(data)) {
    BlockShadow& shadow = *block.shadow;
    for_each_word(block.shared.offset_of(data), bytes, [&](std::size_t word, unsigned mask) {
      const void* address =
          static_cast<const char*>(data) + word * 4 - (block.shared.offset_of(data) & ~std::size_t{3});
      const Checker checker{block, kind, relative, block.serial, address};
      if (word >= shadow.state.size()) report_out_of_bounds(block, kind, address, relative);
      checker.word(shadow.cells[word], shadow.state[word], mask);
    });
  } else if (heap.contains(data)) {
    if (kind == Access::atomic) synchronise_blocks(block, data);
    const auto offset = static_cast<std::size_t>(static_cast<const char*>(data) - heap.base);
    for_each_word(offset, bytes, [&](std::size_t word, unsigned mask) {
      const Checker checker{block, kind, relative, block.launch->first_serial, heap.base + word * 4};
      checker.word(heap.cells[word], heap.state[word], mask);
    });
  }
}

void note_access(const void* data, std::size_t bytes, bool write, bool atomic, const void* place) {
  Block* block = current_block;
  if (block == nullptr || !block->instrumented) return;
  check_access(*block, data, bytes, atomic ? Access::atomic : write ? Access::write : Access::read, place);
}

void mark_pending(Block& block, const void* data, std::size_t bytes) {
  for_each_word(block.shared.offset_of(data), bytes, [&](std::size_t word, unsigned mask) {
    std::uint8_t& state = block.shadow->state[word];
    state = static_cast<std::uint8_t>((state & ~mask) | word_pending);
  });
}

void mark_arrived(Block& block, const void* data, std::size_t bytes) {
  for_each_word(block.shared.offset_of(data), bytes, [&](std::size_t word, unsigned mask) {
    std::uint8_t& state = block.shadow->state[word];
    state = static_cast<std::uint8_t>((state | mask) & ~word_pending);
    // The data counts as written by this lane now: readers need a barrier after the wait, not after the
    // issue.
    Cell& cell = block.shadow->cells[word];
    if (cell.write.serial == block.serial && cell.write.thread == static_cast<unsigned>(block.now)) {
      cell.write.time = block.events;
    }
  });
}

}  // namespace fer::simt::detail
