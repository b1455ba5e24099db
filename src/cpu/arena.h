// Memory for tensors and scratch buffers, cut as needed from regions of huge pages. A freed block merges with
// its free neighbours and can serve a request of any size. Free lists by size would hold up to twice what a
// training step uses at once, because backward asks for other sizes than forward. Returning the pages to the
// system would make it clear them again in every step.
#pragma once

#include <cstddef>

namespace fer::detail {

/// Allocates at least `bytes` bytes, aligned to a cache line. Returns null if there is no room.
void* allocate_block(std::size_t bytes);
/// Frees a block of allocate_block(bytes).
void free_block(void* data, std::size_t bytes) noexcept;

}  // namespace fer::detail
