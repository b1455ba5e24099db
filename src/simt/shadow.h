// The race and initialisation checker. Kernels compiled with -fsanitize=thread report every access to hooks
// in tsan_hooks.cpp. Each word of shared and device memory has a cell that records who last wrote and read
// it. Two accesses to one word by different threads, at least one of them a write, are a race unless
//   - a __syncthreads lies between them (same block),
//   - a __syncwarp that names both lies between them (same warp), or
//   - the other block was synchronised with by __threadfence and an atomic.
// Time in a block is counted in barriers: an access is older than a barrier if its time is smaller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simt/block.h"

namespace fer::simt::detail {

enum class Access { read, write, atomic };

/// One recorded access. 8 bytes, because each word has three of them.
struct Record {
  std::uint64_t serial : 24;  ///< which block of which launch; 0: none
  std::uint64_t time : 24;
  std::uint64_t thread : 10;
  std::uint64_t mask : 4;  ///< which bytes of the word
  std::uint64_t flag : 1;  ///< of a write: it was atomic; of a read: other lanes of the warp read as well
};

/// What is known about a word. Two readers suffice: they are from different warps or blocks, so at least one
/// of them is in another warp or block than any later writer. Accesses to different bytes of a word share the
/// cell. What does not fit is dropped, which can miss a race but never invents one.
struct Cell {
  Record write, read[2];
  std::int32_t write_place, read_place;  ///< code addresses relative to the checker's own code
};

/// State of a word: bits 0 to 3 say which bytes are initialised; then:
inline constexpr std::uint8_t word_allocated = 0x80;
inline constexpr std::uint8_t word_pending = 0x40;  ///< the target of a cp.async not yet waited for

/// Shadow of a block's shared memory, and what the block knows about other blocks.
struct BlockShadow {
  std::vector<std::uint8_t> state;
  std::vector<Cell> cells;
  std::vector<bool> acquired;  ///< blocks of this launch whose writes are ordered before this one's reads
};

// --- lifetime of device memory ---
/// Whether this program has kernels that report to the checker.
bool is_shadow_used();
void shadow_allocated(const void* data, std::size_t bytes, bool initialised);
void shadow_released(const void* data, std::size_t bytes);
/// The host wrote this memory.
void shadow_written(const void* data, std::size_t bytes);
/// The host copied memory within the device; this copies its initialisation state.
void shadow_copied(const void* to, const void* from, std::size_t bytes);

// --- launches, blocks, synchronisation ---
/// Sets launch.first_serial. Throws CheckError if the grid has too many blocks to give each its own serial.
void begin_checked_launch(Launch& launch);
void begin_checked_block(Block& block);
void add_checked_part(Block& block, const SharedArena::Part& part);
void note_block_barrier(Block& block);
void note_warp_barrier(Block& block, Warp& warp, unsigned mask);

// --- accesses ---
/// Checks and records an access by the running lane. Ignores host memory. Leaves the block on an error.
void check_access(Block& block, const void* data, std::size_t bytes, Access kind, const void* place);
/// cp.async: shared memory must not be read until the copy has arrived.
void mark_pending(Block& block, const void* data, std::size_t bytes);
void mark_arrived(Block& block, const void* data, std::size_t bytes);

}  // namespace fer::simt::detail
