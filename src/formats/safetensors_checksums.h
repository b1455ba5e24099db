// The checksums in a safetensors file's metadata, under "crc32": eight hexadecimal digits for the other
// metadata, then eight for each tensor, sorted by name. Other programs see one more text among the metadata.
// A tensor's cover its name, type, shape and bytes, so that they hold wherever it lies in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fer/formats/safetensors.h"

namespace fer::detail {

inline constexpr const char* checksums_key = "crc32";

std::uint32_t checksum_of(const SafetensorsEntry& entry, std::span<const std::byte> bytes);

/// The entry for `metadata`; `tensors` are in the order of `entries`.
std::string checksums_text(const Metadata& metadata, const std::vector<SafetensorsEntry>& entries,
                           const std::vector<std::uint32_t>& tensors);

/// Takes the entry off `metadata` and returns the checksums in the order of `entries`; none where there is no
/// entry, as in files of other programs. FormatError, naming `file`, if it is damaged or the metadata is not
/// what it is of.
std::vector<std::uint32_t> take_checksums(Metadata& metadata, const std::vector<SafetensorsEntry>& entries,
                                          const std::string& file);

}  // namespace fer::detail
