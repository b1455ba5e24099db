// Readable names of kernels and of places in the code, from the program's symbols and debug information.
#pragma once

#include <string>

namespace fer::simt::detail {

/// "softmax_forward<float>"; "the kernel" if the program has no symbol for it.
std::string kernel_name(const void* kernel);

/// "softmax.cu:42" with debug information, else the function and an offset, else an address.
std::string code_place(const void* address);

}  // namespace fer::simt::detail
