// The checksums in a safetensors file's metadata, under "crc32": eight hexadecimal digits for the other
// metadata, then eight for each tensor, sorted by name. Other programs just see one more metadata text. A
// tensor's checksum covers its name, type, shape and bytes, so it is independent of the position in the file.
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

/// The metadata entry; `tensors` are in the order of `entries`.
std::string checksums_text(const Metadata& metadata, const std::vector<SafetensorsEntry>& entries,
                           const std::vector<std::uint32_t>& tensors);

/// Removes the entry from `metadata` and returns the checksums in the order of `entries`; none if there is no
/// entry, as in files of other programs. FormatError, naming `file`, if the entry is damaged or does not
/// match the metadata.
std::vector<std::uint32_t> take_checksums(Metadata& metadata, const std::vector<SafetensorsEntry>& entries,
                                          const std::string& file);

}  // namespace fer::detail
