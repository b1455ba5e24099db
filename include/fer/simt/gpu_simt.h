// The executor's side of gpu.h: launch and runtime calls. Every call does its work before it returns. Streams
// and events keep CUDA's order, and a stream can be captured into a graph and replayed.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "fer/error.h"
#include "fer/simt/device.h"
#include "fer/simt/executor.h"
#include "fer/simt/intrinsics.h"
#include "fer/simt/launch_limits.h"

// 1 if the kernels of this translation unit report their accesses to the race and initialisation checker.
#if defined(__SANITIZE_THREAD__)
#define FER_SIMT_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FER_SIMT_INSTRUMENTED 1
#endif
#endif
#ifndef FER_SIMT_INSTRUMENTED
#define FER_SIMT_INSTRUMENTED 0
#endif

namespace fer::simt {
namespace detail {

/// A kernel argument that is a pointer, or a structure that may contain pointers.
struct PointerArgument {
  int index;
  const void* value;   ///< the pointer
  const void* object;  ///< the structure; null for a plain pointer
  std::size_t bytes;   ///< of the structure
  bool writable;       ///< the kernel may write there: not a pointer to const
};

/// Everything that launch() knows about a launch.
struct LaunchRequest {
  const void* kernel;
  dim3 grid, block;
  std::size_t shared_bytes;
  std::optional<std::size_t> allowed_shared;  ///< from allow_dynamic_shared(); none: it was not called
  bool instrumented;
  Where where;
  const PointerArgument* pointers;
  int pointer_count;
  void (*invoke)(const void* kernel, const void* arguments);
  const void* arguments;
};

void allow_dynamic_shared(const void* kernel, std::size_t bytes, Where at);
/// The bytes of the last allow_dynamic_shared() for this kernel.
std::optional<std::size_t> allowed_dynamic_shared(const void* kernel);

/// Runs the grid. CheckError if a check fails.
void run(const LaunchRequest& request);

/// The grid of a launch and its source location.
struct LaunchGrid {
  dim3 size;
  Where where;
  LaunchGrid(dim3 grid, Where at = Where::current()) : size(grid), where(at) {}
  template <typename Integer, typename = std::enable_if_t<std::is_integral_v<Integer>>>
  LaunchGrid(Integer blocks, Where at = Where::current()) : size(checked(blocks, at)), where(at) {}

 private:
  /// CheckError for a count that does not fit in dim3, where it would silently wrap around.
  static dim3 checked(long long blocks, Where at);
};

struct StreamState;
struct EventState;
struct GraphState;
bool is_capturing(StreamState* stream);
void record(StreamState* stream, std::function<void()> work);

/// Says that kernels of this program report their accesses, so that initialisation is tracked from the start.
bool expect_instrumented_kernels() noexcept;
#if FER_SIMT_INSTRUMENTED
[[maybe_unused]] static const bool instrumented_kernels_here = expect_instrumented_kernels();
#endif

}  // namespace detail

namespace gpu {

using Stream = detail::StreamState*;  ///< nullptr: the default stream
using Event = detail::EventState*;
using Graph = detail::GraphState*;
using Grid = detail::LaunchGrid;  ///< blocks, as dim3 or as a number

enum class CopyKind { host_to_device, device_to_host, device_to_device };

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;
  int multiprocessors = 0;
  std::size_t memory = 0;
  std::size_t shared_limit = 0;
};

int device_count();
void set_device(int index);
DeviceInfo device_info(int index);
/// Maximum bytes of shared memory per block on the current device, static and dynamic together.
std::size_t shared_limit();

/// Allocates device memory, 256-byte aligned, with red zones around it and filled with NaN. nullptr for
/// 0 bytes. DeviceError, with the requested bytes and the bytes in use, if there is no room.
void* malloc(std::size_t bytes);
/// Does not throw: the next launch reports a damaged red zone.
void free(void* data) noexcept;
/// Allocates pinned host memory (plain memory on the executor).
void* malloc_host(std::size_t bytes);
void free_host(void* data) noexcept;
void memory_info(std::size_t& free_bytes, std::size_t& total);

/// CheckError if `to` or `from` is not of the kind of memory that `kind` says, or if the range exceeds its
/// allocation.
void memcpy_async(void* to, const void* from, std::size_t bytes, CopyKind kind, Stream stream);
void memset_async(void* data, int byte, std::size_t bytes, Stream stream);

Stream stream_create();
void stream_destroy(Stream stream) noexcept;
void stream_synchronize(Stream stream);
void device_synchronize();

Event event_create();
void event_destroy(Event event) noexcept;
void event_record(Event event, Stream stream);
void event_synchronize(Event event);
bool event_reached(Event event);
void stream_wait(Stream stream, Event event);
float event_elapsed_ms(Event start, Event stop);

/// Between begin and end, work on `stream` is recorded but not done; the graph replays it. `operations`
/// receives the number of recorded kernels and copies.
void capture_begin(Stream stream);
Graph capture_end(Stream stream, std::size_t& operations);
void capture_abandon(Stream stream) noexcept;
void graph_launch(Graph graph, Stream stream);
void graph_destroy(Graph graph) noexcept;

/// Allows later launches of `kernel` up to `bytes` of dynamic shared memory; together with the static arrays
/// at most shared_limit(). The default limit is 48 KiB, static and dynamic together.
template <typename... Parameters>
void allow_dynamic_shared(void (*kernel)(Parameters...), std::size_t bytes, Where at = Where::current()) {
  detail::allow_dynamic_shared(reinterpret_cast<const void*>(kernel), bytes, at);
}

/// launch() (gpu_common.h) without the call of allow_dynamic_shared().
template <bool instrumented = FER_SIMT_INSTRUMENTED, typename... Parameters, typename... Arguments>
void launch_as_is(void (*kernel)(Parameters...), Grid grid, dim3 block, std::size_t shared_bytes,
                  Stream stream, Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "launch: wrong number of kernel arguments");
  static_assert(launch_limits::argument_bytes<Parameters...>() <= launch_limits::arguments,
                "launch: over 4 KiB of kernel arguments");
  using Values = std::tuple<std::remove_cv_t<Parameters>...>;
  const auto allowed = detail::allowed_dynamic_shared(reinterpret_cast<const void*>(kernel));
  auto run_now = [kernel, grid, block, shared_bytes, allowed,
                  values = Values(static_cast<Parameters>(std::forward<Arguments>(arguments))...)]() mutable {
    std::array<detail::PointerArgument, sizeof...(Parameters) + 1> pointers{};
    int index = 0, pointer_count = 0;
    [[maybe_unused]] const auto collect = [&](auto& value) {
      using Value = std::remove_cvref_t<decltype(value)>;
      if constexpr (std::is_pointer_v<Value> && !std::is_function_v<std::remove_pointer_t<Value>>) {
        const void* address = const_cast<const void*>(static_cast<const volatile void*>(value));
        pointers[static_cast<std::size_t>(pointer_count++)] = {
            index, address, nullptr, 0, !std::is_const_v<std::remove_pointer_t<Value>>};
      } else if constexpr (std::is_class_v<Value> && !std::is_empty_v<Value>) {
#if __has_builtin(__builtin_clear_padding)
        // Bytes between members must not be mistaken for a pointer. In large arrays of structures GCC 12 also
        // clears bytes that are not padding, so large structures are left alone.
        if constexpr (sizeof(Value) <= 256) __builtin_clear_padding(&value);
#endif
        pointers[static_cast<std::size_t>(pointer_count++)] = {index, nullptr, &value, sizeof(value), true};
      }
      ++index;
    };
    std::apply([&](auto&... value) { (collect(value), ...); }, values);
    const auto invoke = [](const void* function, const void* tuple) {
      std::apply(reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(function)),
                 *static_cast<const Values*>(tuple));
    };
    detail::run({reinterpret_cast<const void*>(kernel), grid.size, block, shared_bytes, allowed, instrumented,
                 grid.where, pointers.data(), pointer_count, invoke, &values});
  };
  if (detail::is_capturing(stream)) {
    detail::record(stream, run_now);
  } else {
    run_now();
  }
}

}  // namespace gpu
}  // namespace fer::simt
