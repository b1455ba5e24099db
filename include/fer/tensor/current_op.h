// The operation that this thread is in, for messages of those who do not know it: who asked for memory.
#pragma once

#include <string>
#include <string_view>

namespace fer {

/// Set where an operation begins, cleared ("") where it ends.
void set_current_op(std::string_view op, bool backward = false);
/// "conv2d", "conv2d backward", or "" outside of any operation.
const std::string& current_op();

}  // namespace fer
