// The operation that this thread is running. Code that does not get its name, such as the allocator, uses it
// in error messages.
#pragma once

#include <string>
#include <string_view>

namespace fer {

/// Called where an operation begins, and with "" where it ends.
void set_current_op(std::string_view op, bool backward = false);
/// "conv2d", "conv2d backward", or "" outside of any operation.
const std::string& current_op();

}  // namespace fer
