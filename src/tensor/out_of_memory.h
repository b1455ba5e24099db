// The error of a device that is out of memory. It says who requested how much, what is in use, and what
// helps.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fer {

struct MemoryShortage {
  std::string_view device;
  std::size_t asked = 0;
  std::size_t live = 0, kept = 0;   ///< in use by tensors; kept for reuse
  std::size_t limit = 0;            ///< for live and kept together; 0: none
  std::size_t free = 0, total = 0;  ///< of the device itself; total 0: unknown
};

/// Throws DeviceError. It names current_op(); Error adds the module path.
[[noreturn]] void throw_out_of_memory(const MemoryShortage& shortage);

}  // namespace fer
