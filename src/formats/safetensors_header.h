// The JSON header of a safetensors file:
// {"__metadata__": {text: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fer/formats/safetensors.h"
#include "formats/element_type.h"

namespace fer::detail {

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of the text
  Metadata metadata;
};

/// FormatError, naming `file` and tensor, unless the text is such a header and its tensors cover `data_bytes`
/// without gap or overlap.
SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes,
                                           const std::string& file);

/// The header's description of a tensor without its position, for the checksum.
std::string description_of(const SafetensorsEntry& entry);

/// The text of a header, padded with spaces to a multiple of eight bytes.
std::string write_safetensors_header(const SafetensorsHeader& header, const std::string& file);

}  // namespace fer::detail
