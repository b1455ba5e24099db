// A walk over the markers of a JPEG or the chunks of a PNG, before the pixels are decoded.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace fer::detail {

struct ImageMarkers {
  const char* format = "";             ///< "PNG" or "JPEG"
  int orientation = 1;                 ///< EXIF, 1 to 8
  std::int64_t width = 0, height = 0;  ///< as stored
  std::size_t scan_end = 0;            ///< JPEG: where the data of the last scan ends; 0: there is no scan
};

/// FormatError, naming the file, for other formats, a missing end (truncation), a PNG chunk whose checksum is
/// wrong, impossible Huffman tables, and JPEG colour spaces that the decoder would guess.
ImageMarkers read_markers(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace fer::detail
