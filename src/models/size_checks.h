// Bounds for a network's sizes, which come from files. They are wide enough for any network, and products of
// sizes within them do not overflow.
#pragma once

#include <cstdint>
#include <string_view>

#include "fer/error.h"

namespace fer::detail {

inline constexpr std::int64_t most_channels = 1 << 16, most_units = 1000, most_stride = 8, most_ratio = 64,
                              most_pixels = 512;  // a side of the input

inline void require_size(std::string_view field, std::int64_t value, std::int64_t most) {
  require<ConfigError>(value >= 1, field, " must be 1 or more, got ", value);
  require<ConfigError>(value <= most, field, " must be at most ", most, ", got ", value);
}

}  // namespace fer::detail
