// The checker's messages. Each report ends the block. Places are code addresses relative to code_origin();
// names.cpp turns them into source lines.
#pragma once

#include <cstdint>

#include "simt/shadow.h"

namespace fer::simt::detail {

/// An address in this library's code. Places are relative to it, so they fit in 32 bits.
const char* code_origin();

[[noreturn]] void report_race(Block& block, Access kind, const void* address, std::int32_t place,
                              const Record& other, Access other_kind, std::int32_t other_place);
[[noreturn]] void report_uninitialised(Block& block, const void* address, std::int32_t place, bool pending);
[[noreturn]] void report_out_of_bounds(Block& block, Access kind, const void* address, std::int32_t place);

}  // namespace fer::simt::detail
