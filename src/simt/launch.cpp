// A launch: checks what a GPU would check, distributes the blocks over OS threads, and raises the first
// error.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <unordered_map>

#include "simt/block.h"
#include "simt/device_heap.h"
#include "simt/faults.h"
#include "simt/names.h"
#include "simt/shadow.h"

namespace fer::simt::detail {
namespace {

/// Written as "4 x 2 x 1". A type of its own, so that text is formatted only when it is printed.
struct Extents {
  dim3 size;
};
std::ostream& operator<<(std::ostream& out, const Extents& e) {
  return out << e.size.x << " x " << e.size.y << " x " << e.size.z;
}

template <typename... Parts>
void check_launch(bool ok, const LaunchRequest& request, const Parts&... parts) {
  if (!ok) {
    throw CheckError(concat("[simt] launch of ", kernel_name(request.kernel), " at ",
                            place_name(request.where), ": ", parts...));
  }
}

void check_sizes(const LaunchRequest& request, const Options& options) {
  const dim3 &grid = request.grid, &block = request.block;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  check_launch(grid.x > 0 && grid.y > 0 && grid.z > 0, request, "the grid, ", Extents{grid},
               " blocks, is empty; skip the launch when there is nothing to do");
  check_launch(threads > 0, request, "the block, ", Extents{block}, " threads, is empty");
  check_launch(threads <= max_threads && block.x <= 1024 && block.y <= 1024 && block.z <= 64, request,
               "a block of ", Extents{block}, " threads; a GPU allows 1024 in all, and 64 along z");
  check_launch(grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535, request, "a grid of ",
               Extents{grid}, " blocks; a GPU allows 2147483647 along x and 65535 along y and z");
  const std::size_t bytes = request.shared_bytes,
                    allowed = request.allowed_shared.value_or(launch_limits::shared);
  check_launch(bytes <= options.shared_limit, request, bytes,
               " bytes of dynamic shared memory; a block may have ", options.shared_limit,
               ", use smaller tiles");
  check_launch(bytes <= allowed, request, bytes, " bytes of dynamic shared memory; ",
               request.allowed_shared ? "gpu::allow_dynamic_shared asked for "
                                      : "gpu::allow_dynamic_shared must ask for more than ",
               allowed);
}

/// Calls visit(pointer) for everything in a structure that points into device memory.
template <typename Visit>
void for_each_pointer_inside(const PointerArgument& argument, Visit visit) {
  const auto* bytes = static_cast<const char*>(argument.object);
  for (std::size_t at = 0; at + sizeof(void*) <= argument.bytes; at += sizeof(void*)) {
    const void* value = nullptr;
    std::memcpy(&value, bytes + at, sizeof(value));
    if (DeviceHeap::instance().contains(value)) visit(value);
  }
}

void check_pointers(const LaunchRequest& request) {
  const DeviceHeap& heap = DeviceHeap::instance();
  for (int i = 0; i < request.pointer_count; ++i) {
    const PointerArgument& argument = request.pointers[i];
    const auto allocated = [&](const void* p) {
      check_launch(heap.find(p).data != nullptr, request, "argument ", argument.index,
                   " points to device memory that is not allocated (freed already?)");
    };
    if (argument.object != nullptr) {
      for_each_pointer_inside(argument, allocated);
    } else if (argument.value != nullptr) {
      check_launch(
          heap.contains(argument.value), request, "argument ", argument.index,
          " points to host memory, which a kernel cannot reach; copy the data to memory from gpu::malloc");
      allocated(argument.value);
    }
  }
}

void check_red_zones(const LaunchRequest& request) {
  DeviceHeap& heap = DeviceHeap::instance();
  const auto check = [&](const void* p) {
    const std::string damage = heap.damage(p);
    check_launch(damage.empty(), request, "a thread ", damage, "; check the index against the size");
  };
  for (int i = 0; i < request.pointer_count; ++i) {
    const PointerArgument& argument = request.pointers[i];
    if (argument.object != nullptr) {
      for_each_pointer_inside(argument, check);
    } else if (argument.value != nullptr) {
      check(argument.value);
    }
  }
}

/// The writes of a kernel without checks are unknown, so all memory that it can reach counts as initialised.
void note_unchecked_writes(const LaunchRequest& request) {
  if (!is_shadow_used()) return;
  const auto written = [](const void* p) {
    const DeviceHeap::Allocation all = DeviceHeap::instance().find(p);
    if (all.data != nullptr) shadow_written(all.data, all.bytes);
  };
  for (int i = 0; i < request.pointer_count; ++i) {
    const PointerArgument& argument = request.pointers[i];
    if (argument.object != nullptr) {
      for_each_pointer_inside(argument, written);
    } else if (argument.writable && argument.value != nullptr) {
      written(argument.value);
    }
  }
}

std::string message_of(const Launch& launch, const Block& block) {
  const LaunchRequest& request = *launch.request;
  std::string text = block.failure.text;
  for (int i = 0; i < 2; ++i) {
    const std::string mark = concat("@", i + 1);
    if (block.failure.place[i] == nullptr) continue;
    const std::size_t at = text.find(mark);
    if (at != std::string::npos) text.replace(at, mark.size(), code_place(block.failure.place[i]));
  }
  return concat("[simt] ", kernel_name(request.kernel), " launched at ", place_name(request.where),
                ", block (", block.index.x, ",", block.index.y, ",", block.index.z, "): ", text);
}

/// The first error by block position, whichever OS thread meets it.
struct FirstError {
  std::mutex mutex;
  std::atomic<std::int64_t> position{std::numeric_limits<std::int64_t>::max()};
  std::string message;
  std::exception_ptr other;  ///< an error that no kernel made: no memory for stacks

  void set(std::int64_t at, std::string text) {
    const std::lock_guard lock(mutex);
    if (at >= position) return;
    position = at;
    message = std::move(text);
  }
};

void work(const Launch& launch, std::atomic<std::int64_t>& next, FirstError& error) {
  try {
    const FaultStack fault_stack;
    Block& block = block_of_this_thread();
    block.begin_launch(launch);
    for (;;) {
      const std::int64_t position = next++;
      if (position >= launch.blocks || position >= error.position) return;
      block.run(block_at(launch, position), position);
      if (block.failure.raised) error.set(position, message_of(launch, block));
    }
  } catch (...) {
    const std::lock_guard lock(error.mutex);
    error.other = std::current_exception();
    error.position = -1;
  }
}

/// The shared memory that kernels have requested.
struct AllowedShared {
  std::mutex mutex;
  std::unordered_map<const void*, std::size_t> bytes;
};
AllowedShared& allowed_shared() {
  static AllowedShared allowed;
  return allowed;
}

std::atomic<std::size_t> peak_shared{0};

void note_shared(std::size_t bytes) {
  std::size_t peak = peak_shared;
  while (bytes > peak && !peak_shared.compare_exchange_weak(peak, bytes)) {
  }
}

std::mutex checker_mutex;  ///< one instrumented launch at a time, as launches share device memory's shadow

}  // namespace

uint3 block_at(const Launch& launch, std::int64_t position) {
  std::int64_t number = position;
  if (launch.options.order == LaneOrder::reverse) number = launch.blocks - 1 - position;
  if (launch.options.order == LaneOrder::shuffled) {  // a step coprime to the count visits every block once
    std::int64_t step = static_cast<std::int64_t>(static_cast<double>(launch.blocks) * 0.618) + 1;
    while (std::gcd(step, launch.blocks) != 1) ++step;
    const auto start =
        static_cast<std::int64_t>(launch.options.seed % static_cast<std::uint64_t>(launch.blocks));
    number = static_cast<std::int64_t>(
        (static_cast<unsigned __int128>(position) * static_cast<std::uint64_t>(step) +
         static_cast<std::uint64_t>(start)) %
        static_cast<std::uint64_t>(launch.blocks));
  }
  const dim3 grid = launch.request->grid;
  const auto n = static_cast<std::uint64_t>(number);
  return {static_cast<unsigned>(n % grid.x), static_cast<unsigned>(n / grid.x % grid.y),
          static_cast<unsigned>(n / grid.x / grid.y)};
}

dim3 LaunchGrid::checked(long long blocks, Where at) {
  if (blocks < 0 || blocks > 0x7fffffff) {
    throw CheckError(concat("[simt] launch at ", place_name(at), ": a grid of ", blocks,
                            " blocks; a GPU allows 1 to 2147483647"));
  }
  return dim3(static_cast<unsigned>(blocks));
}

void allow_dynamic_shared(const void* kernel, std::size_t bytes, Where at) {
  const std::size_t limit = options().shared_limit;
  if (bytes > limit) {
    throw CheckError(concat("[simt] shared memory for ", kernel_name(kernel), " at ", place_name(at), ": ",
                            bytes, " bytes of dynamic shared memory; a block may have ", limit,
                            ", use smaller tiles"));
  }
  AllowedShared& allowed = allowed_shared();
  const std::lock_guard lock(allowed.mutex);
  allowed.bytes[kernel] = bytes;
}

std::optional<std::size_t> allowed_dynamic_shared(const void* kernel) {
  AllowedShared& allowed = allowed_shared();
  const std::lock_guard lock(allowed.mutex);
  const auto it = allowed.bytes.find(kernel);
  return it == allowed.bytes.end() ? std::nullopt : std::optional(it->second);
}

void run(const LaunchRequest& request) {
  check_launch(current_block == nullptr, request,
               "from inside of a kernel; kernels are launched by host code");
  Launch launch;
  launch.request = &request;
  launch.options = options();
  check_sizes(request, launch.options);
  check_pointers(request);
  note_shared(request.shared_bytes);
  launch.threads = static_cast<int>(request.block.x * request.block.y * request.block.z);
  launch.blocks = std::int64_t{request.grid.x} * request.grid.y * request.grid.z;

  std::unique_lock<std::mutex> checker(checker_mutex, std::defer_lock);
  int workers = launch.options.threads > 0 ? launch.options.threads : omp_get_max_threads();
  // Waking a thread costs as much as some thousand short lanes.
  constexpr std::int64_t lanes_per_worker = 2048;
  const std::int64_t useful = (launch.blocks * launch.threads + lanes_per_worker - 1) / lanes_per_worker;
  if (launch.options.threads == 0) workers = static_cast<int>(std::min<std::int64_t>(workers, useful));
  workers = static_cast<int>(std::min<std::int64_t>(workers, launch.blocks));
  if (omp_in_parallel()) workers = 1;
  if (request.instrumented) {  // the shadow finds races between blocks without running them in parallel
    checker.lock();
    workers = 1;
    begin_checked_launch(launch);
  }

  std::atomic<std::int64_t> next{0};
  FirstError error;
  {
    const FaultGuard guard;
    if (workers > 1) {
#pragma omp parallel num_threads(workers)
      work(launch, next, error);
    } else {
      work(launch, next, error);
    }
  }
  if (error.other != nullptr) std::rethrow_exception(error.other);
  if (!error.message.empty()) throw CheckError(error.message);
  check_red_zones(request);
  if (!request.instrumented) note_unchecked_writes(request);
}

}  // namespace fer::simt::detail

namespace fer::simt {

std::size_t peak_dynamic_shared() {
  return detail::peak_shared;
}
void reset_peak_dynamic_shared() {
  detail::peak_shared = 0;
}

}  // namespace fer::simt
