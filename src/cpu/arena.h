// Memory of tensors and of scratch buffers, from stretches of huge pages that are cut as needed: what is
// freed merges with its free neighbours and serves requests of any size. Kept by size instead, a training
// step's blocks would add up to twice what it ever holds at once, as backward asks for other sizes than
// forward did; given back to the system, their pages would have to be cleared again in every step.
#pragma once

#include <cstddef>

namespace fer::detail {

/// At least `bytes` bytes, aligned to a cache line; null if there is no room.
void* allocate_block(std::size_t bytes);
/// Frees a block of allocate_block(bytes).
void free_block(void* data, std::size_t bytes) noexcept;

}  // namespace fer::detail
