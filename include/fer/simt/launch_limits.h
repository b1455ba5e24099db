// The default limits of a launch on every GPU, for both sides of gpu.h.
#pragma once

#include <cstddef>

namespace fer::launch_limits {

/// Bytes of shared memory, static and dynamic together, without allow_dynamic_shared().
inline constexpr std::size_t shared = 48 * 1024;
/// Bytes of arguments.
inline constexpr std::size_t arguments = 4096;

/// Bytes of arguments of these types, including alignment padding.
template <typename... Parameters>
constexpr std::size_t argument_bytes() {
  std::size_t bytes = 0;
  ((bytes =
        (bytes + alignof(Parameters) - 1) / alignof(Parameters) * alignof(Parameters) + sizeof(Parameters)),
   ...);
  return bytes;
}

}  // namespace fer::launch_limits
