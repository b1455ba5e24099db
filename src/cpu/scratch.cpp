// Thread-local working memory; large buffers ask the system for huge pages, since a product walks many pages
// at once.
#include "cpu/scratch.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace fer::detail {
namespace {

struct Buffer {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Buffer() { std::free(data); }
};

}  // namespace

void* scratch_bytes(ScratchUse use, std::size_t bytes) {
  thread_local Buffer buffers[static_cast<int>(ScratchUse::count)];
  Buffer& buffer = buffers[static_cast<int>(use)];
  if (bytes <= buffer.bytes) return buffer.data;
  constexpr std::size_t huge_page = std::size_t{1} << 21;
  const std::size_t alignment = bytes >= huge_page ? huge_page : 4096;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  std::free(buffer.data);
  buffer = {};
  buffer.data = std::aligned_alloc(alignment, rounded);
  if (!buffer.data) throw std::bad_alloc();
  buffer.bytes = rounded;
#ifdef MADV_HUGEPAGE
  if (alignment == huge_page) madvise(buffer.data, rounded, MADV_HUGEPAGE);
#endif
  return buffer.data;
}

}  // namespace fer::detail
