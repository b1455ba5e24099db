// What every GPU allows a launch unless it is asked for more: for both sides of gpu.h.
#pragma once

#include <cstddef>

namespace fer::launch_limits {

/// Bytes of shared memory, static and dynamic together, that a kernel has without asking.
inline constexpr std::size_t shared = 48 * 1024;
/// Bytes of arguments.
inline constexpr std::size_t arguments = 4096;

/// Bytes that arguments of these types take, with what aligns them.
template <typename... Parameters>
constexpr std::size_t argument_bytes() {
  std::size_t bytes = 0;
  ((bytes =
        (bytes + alignof(Parameters) - 1) / alignof(Parameters) * alignof(Parameters) + sizeof(Parameters)),
   ...);
  return bytes;
}

}  // namespace fer::launch_limits
