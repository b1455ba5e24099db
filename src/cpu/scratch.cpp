// Thread-local working memory.
#include "cpu/scratch.h"

#include <new>

#include "cpu/arena.h"

namespace fer::detail {
namespace {

struct Buffer {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Buffer() { free_block(data, bytes); }
};

}  // namespace

void* scratch_bytes(ScratchUse use, std::size_t bytes) {
  thread_local Buffer buffers[static_cast<int>(ScratchUse::count)];
  Buffer& buffer = buffers[static_cast<int>(use)];
  if (bytes <= buffer.bytes) return buffer.data;
  free_block(buffer.data, buffer.bytes);
  buffer = {};
  constexpr std::size_t unit = 4096;  // avoids growing by one cache line at a time
  const std::size_t size = (bytes + unit - 1) / unit * unit;
  buffer.data = allocate_block(size);
  if (!buffer.data) throw std::bad_alloc();
  buffer.bytes = size;
  return buffer.data;
}

}  // namespace fer::detail
