// JPEG (ITU-T T.81 annex B), PNG (chunks with CRC-32) and the one EXIF tag that matters here: orientation.
//
// stb decodes a truncated JPEG as a picture whose rest is grey and does not look at PNG checksums; a data set
// with such files should be mended, not trained on, so both are found here. So are tables that it would not
// survive.
#include "data/image_markers.h"

#include <array>
#include <cstring>
#include <string_view>

#include "fer/error.h"

namespace fer::detail {
namespace {

using Bytes = std::span<const std::uint8_t>;

bool starts_with(Bytes bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() && std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

std::uint32_t big_endian(Bytes bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

/// Orientation of a TIFF block ("II*\0..." or "MM\0*..."); 1 if it has none or makes no sense.
int tiff_orientation(Bytes tiff) {
  if (tiff.size() < 8) return 1;
  const bool little = tiff[0] == 'I' && tiff[1] == 'I';
  if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return 1;
  const auto number = [&](std::size_t at, int count) {
    std::uint32_t value = 0;
    for (int i = 0; i < count; ++i) value = value << 8 | tiff[at + (little ? count - 1 - i : i)];
    return value;
  };
  if (number(2, 2) != 42) return 1;
  const std::size_t directory = number(4, 4);
  if (directory + 2 > tiff.size()) return 1;
  const std::size_t entries = number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return 1;
    if (number(entry, 2) != 0x0112) continue;
    const std::uint32_t value = number(entry + 2, 2) == 3 ? number(entry + 8, 2) : number(entry + 8, 4);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

[[noreturn]] void truncated(const std::string& name, const char* format, const char* what) {
  throw FormatError(concat("'", name, "' is a truncated ", format, ": ", what));
}

/// Reads the segments of a JPEG up to its end marker.
class JpegWalk {
 public:
  JpegWalk(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  ImageMarkers read() {
    while (true) {
      const int marker = next_marker();
      const bool within_scan = marker >= 0xD0 && marker <= 0xD7;
      if (in_scan_ && !within_scan) {
        markers_.scan_end = marker_at_;
        in_scan_ = false;
      }
      if (marker == 0xD9) break;                                           // end of image
      if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) continue;  // without a length
      read_segment(marker);
    }
    require<FormatError>(
        components_ != 4 || adobe_, "'", name_,
        "' is a four-component JPEG without an Adobe marker: its colours (CMYK or not, inverted "
        "or not) are unknown");
    return markers_;
  }

 private:
  /// The next marker's second byte, after entropy-coded data or fill bytes if there are any.
  int next_marker() {
    while (true) {
      const void* found =
          at_ < bytes_.size() ? std::memchr(bytes_.data() + at_, 0xFF, bytes_.size() - at_) : nullptr;
      if (!found) truncated(name_, "JPEG", "its end marker is missing");
      at_ = marker_at_ = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - bytes_.data());
      while (at_ < bytes_.size() && bytes_[at_] == 0xFF) ++at_;
      if (at_ >= bytes_.size()) truncated(name_, "JPEG", "its end marker is missing");
      if (const int marker = bytes_[at_++]; marker != 0) return marker;  // FF 00 is data
    }
  }

  void read_segment(int marker) {
    if (at_ + 2 > bytes_.size()) truncated(name_, "JPEG", "a segment is cut");
    const std::size_t length = big_endian(bytes_, at_, 2);
    if (length < 2 || at_ + length > bytes_.size()) truncated(name_, "JPEG", "a segment is cut");
    const Bytes body = bytes_.subspan(at_ + 2, length - 2);
    if (marker == 0xE1 && starts_with(body, std::string_view("Exif\0\0", 6))) {
      markers_.orientation = tiff_orientation(body.subspan(6));
    } else if (marker == 0xEE && starts_with(body, "Adobe")) {
      adobe_ = true;
    } else if (marker == 0xDA) {
      in_scan_ = true;
    } else if (marker == 0xC4) {
      check_huffman_tables(body);
    } else if (marker >= 0xC0 && marker <= 0xC2 && body.size() >= 6) {
      markers_.height = big_endian(body, 1, 2);
      markers_.width = big_endian(body, 3, 2);
      components_ = body[5];
    }
    at_ += length;
  }

  /// Older versions of stb write past their table where one has more codes than there are symbols.
  void check_huffman_tables(Bytes body) const {
    while (!body.empty()) {
      std::size_t codes = 0;
      for (std::size_t length = 1; length <= 16 && length < body.size(); ++length) codes += body[length];
      require<FormatError>(codes <= 256, "'", name_, "' is a damaged JPEG: a Huffman table has ", codes,
                           " codes, more than there are symbols");
      require<FormatError>(body.size() >= 17 + codes, "'", name_,
                           "' is a damaged JPEG: a Huffman table is cut");
      body = body.subspan(17 + codes);
    }
  }

  Bytes bytes_;
  const std::string& name_;
  std::size_t at_ = 2, marker_at_ = 0;
  bool in_scan_ = false;
  ImageMarkers markers_{"JPEG"};
  int components_ = 0;
  bool adobe_ = false;
};

constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t c = n;
    for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    table[n] = c;
  }
  return table;
}

std::uint32_t crc32(Bytes bytes) {
  static constexpr auto table = crc_table();
  std::uint32_t c = 0xFFFFFFFFu;
  for (std::uint8_t byte : bytes) c = table[(c ^ byte) & 255] ^ (c >> 8);
  return ~c;
}

ImageMarkers read_png(Bytes bytes, const std::string& name) {
  ImageMarkers markers{"PNG"};
  for (std::size_t at = 8;;) {
    if (at + 12 > bytes.size()) truncated(name, "PNG", "its end chunk is missing");
    const std::size_t length = big_endian(bytes, at, 4);
    if (length > bytes.size() - at - 12) truncated(name, "PNG", "a chunk is cut");
    const Bytes chunk = bytes.subspan(at + 4, length + 4);
    require<FormatError>(crc32(chunk) == big_endian(bytes, at + 8 + length, 4), "'", name,
                         "' is a damaged PNG: the checksum of a chunk is wrong");
    if (starts_with(chunk, "IHDR") && length >= 8) {
      markers.width = big_endian(chunk, 4, 4);
      markers.height = big_endian(chunk, 8, 4);
    }
    if (starts_with(chunk, "eXIf")) markers.orientation = tiff_orientation(chunk.subspan(4));
    if (starts_with(chunk, "IEND")) return markers;
    at += 12 + length;
  }
}

/// What a file that is neither PNG nor JPEG seems to be.
const char* other_format(Bytes bytes) {
  if (bytes.empty()) return "the file is empty";
  if (starts_with(bytes, "GIF8")) return "it is a GIF";
  if (starts_with(bytes, "BM")) return "it is a BMP";
  if (starts_with(bytes, "RIFF") && bytes.size() >= 12 && starts_with(bytes.subspan(8), "WEBP"))
    return "it is a WebP";
  if (starts_with(bytes, std::string_view("II*\0", 4)) || starts_with(bytes, std::string_view("MM\0*", 4))) {
    return "it is a TIFF";
  }
  if (bytes.size() >= 12 && starts_with(bytes.subspan(4), "ftyp")) return "it is a HEIC, AVIF or video file";
  return "it begins with neither signature";
}

}  // namespace

ImageMarkers read_markers(Bytes bytes, const std::string& name) {
  if (starts_with(bytes, "\x89PNG\r\n\x1a\n")) return read_png(bytes, name);
  if (starts_with(bytes, "\xFF\xD8\xFF")) return JpegWalk(bytes, name).read();
  throw FormatError(concat("'", name, "' is neither PNG nor JPEG: ", other_format(bytes)));
}

}  // namespace fer::detail
