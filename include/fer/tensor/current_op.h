// The operation that this thread is running, for error messages of code that is not told, such as the
// allocator's.
#pragma once

#include <string>
#include <string_view>

namespace fer {

/// Set where an operation begins, cleared ("") where it ends.
void set_current_op(std::string_view op, bool backward = false);
/// "conv2d", "conv2d backward", or "" outside of any operation.
const std::string& current_op();

}  // namespace fer
