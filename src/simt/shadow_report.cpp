// The checker's reports: which access, to which memory, which earlier access conflicts, and the usual fix.
#include "simt/shadow_report.h"

#include "simt/device_heap.h"

namespace fer::simt::detail {
namespace {

const char* verb(Access kind) {
  return kind == Access::read ? "reads" : kind == Access::write ? "writes" : "atomically updates";
}
const char* past(Access kind) {
  return kind == Access::read ? "read" : "wrote";
}

/// "argument 1 + 132 bytes (it has 4096)"
std::string describe(const Block& block, const void* address) {
  if (block.shared.contains(address)) return block.shared.describe(address);
  const DeviceHeap& heap = DeviceHeap::instance();
  // An address out of bounds belongs to the nearest allocation before it, or else to the next one.
  DeviceHeap::Allocation owner;
  heap.for_each([&](const DeviceHeap::Allocation& a) {
    if (a.data <= static_cast<const char*>(address) || owner.data == nullptr) owner = a;
  });
  if (owner.data == nullptr) return "device memory that nobody allocated";
  const std::ptrdiff_t offset = static_cast<const char*>(address) - owner.data;
  std::string name = "a device allocation";
  const LaunchRequest& request = *block.launch->request;
  for (int i = 0; i < request.pointer_count; ++i) {
    const PointerArgument& argument = request.pointers[i];
    if (argument.object == nullptr && heap.find(argument.value).data == owner.data) {
      name = concat("the memory of argument ", argument.index);
      break;
    }
  }
  return concat(name, offset < 0 ? " - " : " + ", offset < 0 ? -offset : offset, " bytes (it has ",
                owner.bytes, ")");
}

const void* absolute(std::int32_t place) {
  return code_origin() + place;
}

}  // namespace

const char* code_origin() {
  return reinterpret_cast<const char*>(&report_race);
}

void report_race(Block& block, Access kind, const void* address, std::int32_t place, const Record& other,
                 Access other_kind, std::int32_t other_place) {
  block.failure.place[0] = absolute(place);
  block.failure.place[1] = absolute(other_place);
  const int thread = static_cast<int>(other.thread);
  if (other.serial != block.serial) {
    const uint3 b =
        block_at(*block.launch, static_cast<std::int64_t>(other.serial - block.launch->first_serial));
    block.raise(
        block.thread_name(block.now), " ", verb(kind), " ", describe(block, address), " (@1), which ",
        block.thread_name(thread), " of block (", b.x, ",", b.y, ",", b.z, ") ", past(other_kind),
        " (@2) in the same launch: race between blocks, which run in any order and at once; give each block "
        "memory of its own or split the kernel into two launches");
  } else if (thread >> 5 == block.now >> 5) {
    block.raise(
        block.thread_name(block.now), " ", verb(kind), " ", describe(block, address), " (@1), which ",
        thread == block.now ? "another lane of its warp" : block.thread_name(thread), " ", past(other_kind),
        " (@2) with no barrier between the two: race within a warp, whose lanes do not run in step; put a "
        "__syncwarp() between them, or a __syncthreads() if other warps take part");
  } else {
    block.raise(block.thread_name(block.now), " ", verb(kind), " ", describe(block, address), " (@1), which ",
                block.thread_name(thread), " ", past(other_kind),
                " (@2) with no barrier between the two: race; put a __syncthreads() between them");
  }
  block.leave();
}

void report_uninitialised(Block& block, const void* address, std::int32_t place, bool pending) {
  block.failure.place[0] = absolute(place);
  const bool shared = block.shared.contains(address);
  block.raise(
      block.thread_name(block.now), " reads ", describe(block, address), " (@1), which ",
      pending  ? "a cp.async writes that its thread has not waited for: uninitialised read; wait for its "
                 "group (cp_async_wait) and then for the other threads (__syncthreads)"
      : shared ? "no thread of the block has written: uninitialised read; fill it before, with a barrier "
                 "between"
               : "nothing has written: uninitialised read; fill it with a kernel, a copy or "
                 "gpu::memset_async");
  block.leave();
}

void report_out_of_bounds(Block& block, Access kind, const void* address, std::int32_t place) {
  block.failure.place[0] = absolute(place);
  block.raise(block.thread_name(block.now), " ", verb(kind), " out of bounds: ", describe(block, address),
              " (@1); check the index against the size");
  block.leave();
}

}  // namespace fer::simt::detail
