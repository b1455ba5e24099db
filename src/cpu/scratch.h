// Working memory of the products: a few buffers per thread, which grow to the largest request and are then
// reused. So no kernel allocates in a training step.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fer::detail {

/// What a buffer holds. Two buffers that one thread uses at the same time have different names.
enum class ScratchUse {
  packed_b,    ///< B of a product, packed, shared by all threads
  partials,    ///< partial sums of a split reduction, shared by all threads
  transforms,  ///< transformed weights, shared by all threads
  pointers,    ///< a thread's row pointers
  zeros,       ///< a thread's row of zeros
  block_a,     ///< a thread's rows of A
  block_b,     ///< a thread's panels of B
  block_c,     ///< a thread's tile of the result
  count
};

/// This thread's buffer for `use`: 64-byte aligned, at least `bytes` long, contents undefined. It is valid
/// until the next call with the same use in the same thread.
void* scratch_bytes(ScratchUse use, std::size_t bytes);

template <typename T>
T* scratch(ScratchUse use, std::int64_t count) {
  return static_cast<T*>(scratch_bytes(use, static_cast<std::size_t>(count) * sizeof(T)));
}

}  // namespace fer::detail
