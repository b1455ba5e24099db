// cp.async: copies from global to shared memory, which are complete only once their thread has waited for
// them. In the late mode the destination holds NaN until then, so a wait that is off by one cannot go
// unnoticed.
#include <cstring>

#include "simt/block.h"
#include "simt/device_heap.h"
#include "simt/shadow.h"

namespace fer::simt::detail {
namespace {

void copy_now(const AsyncQueue::Copy& copy) {
  std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.source_bytes));
  std::memset(copy.to + copy.source_bytes, 0, static_cast<std::size_t>(copy.bytes - copy.source_bytes));
}

/// What is wrong with the operands; null if nothing.
const char* objection(const Block& block, const void* shared, const void* global, int bytes,
                      int source_bytes) {
  const auto misaligned = [bytes](const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % static_cast<unsigned>(bytes) != 0;
  };
  if (source_bytes < 0 || source_bytes > bytes) return "source_bytes must lie between 0 and the bytes copied";
  if (!block.shared.in_one_array(shared, static_cast<std::size_t>(bytes))) {
    return "the destination is not within one array of the block's shared memory";
  }
  if (misaligned(shared)) return "the destination is not aligned to the bytes copied";
  if (misaligned(global)) return "the source is not aligned to the bytes copied";
  if (source_bytes > 0 && !DeviceHeap::instance().spans(global, static_cast<std::size_t>(source_bytes))) {
    return "the source is not device memory";
  }
  return nullptr;
}

}  // namespace

void async_copy(void* shared, const void* global, int bytes, int source_bytes, Where where) {
  Block& block = block_here("cp_async");
  block.check_time(where);
  if (const char* why = objection(block, shared, global, bytes, source_bytes)) {
    block.raise(block.thread_name(block.now), ": cp_async<", bytes, "> (", place_name(where), "): ", why,
                block.shared.contains(shared) ? "; destination: " : "",
                block.shared.contains(shared) ? block.shared.describe(shared) : "");
    block.leave();
  }
  const AsyncQueue::Copy copy{static_cast<char*>(shared), static_cast<const char*>(global), bytes,
                              source_bytes};
  if (block.instrumented) {
    const void* pc = __builtin_return_address(0);
    check_access(block, global, static_cast<std::size_t>(source_bytes), Access::read, pc);
    check_access(block, shared, static_cast<std::size_t>(bytes), Access::write, pc);
    mark_pending(block, shared, static_cast<std::size_t>(bytes));
  }
  if (block.launch->options.async_copy == AsyncCopy::early) {
    copy_now(copy);
  } else {
    std::memset(shared, 0xff, static_cast<std::size_t>(bytes));
  }
  block.lane().async.copies.push_back(copy);
}

void async_commit(Where where) {
  Block& block = block_here("cp_async_commit");
  block.check_time(where);
  AsyncQueue& queue = block.lane().async;
  queue.group_ends.push_back(queue.copies.size());
}

void async_wait(int pending, Where where) {
  Block& block = block_here("cp_async_wait");
  block.check_time(where);
  AsyncQueue& queue = block.lane().async;
  const auto keep = static_cast<std::size_t>(pending);
  if (queue.group_ends.size() <= keep) return;
  const std::size_t done_groups = queue.group_ends.size() - keep;
  const std::size_t done = queue.group_ends[done_groups - 1];
  for (std::size_t i = 0; i < done; ++i) {
    const AsyncQueue::Copy& copy = queue.copies[i];
    if (block.launch->options.async_copy == AsyncCopy::late) copy_now(copy);
    if (block.instrumented) mark_arrived(block, copy.to, static_cast<std::size_t>(copy.bytes));
  }
  queue.copies.erase(queue.copies.begin(), queue.copies.begin() + static_cast<std::ptrdiff_t>(done));
  queue.group_ends.erase(queue.group_ends.begin(),
                         queue.group_ends.begin() + static_cast<std::ptrdiff_t>(done_groups));
  for (std::size_t& end : queue.group_ends) end -= done;
}

}  // namespace fer::simt::detail
