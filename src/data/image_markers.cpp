// The chunks of a PNG with their CRC-32, the blocks of a GIF, the headers of a BMP, the chunks of a WebP, and
// limits on the number of pixels that a file may claim.
//
// stb does not check PNG checksums, and fills missing parts of a GIF or BMP with black. Such files are
// detected here.
#include "data/image_markers.h"

#include <cstdlib>

#include "fer/error.h"
#include "fer/formats/checksum.h"

namespace fer::detail {
namespace {

constexpr std::int64_t most_pixels = std::int64_t{1} << 28;
constexpr std::uint8_t gif_extension = 0x21, gif_picture = 0x2C, gif_end = 0x3B;

/// The position after the sub-blocks of a GIF that begin at `at`. Each is a length and its bytes; the last
/// has length 0. If they are truncated, the result lies beyond the end of the file.
std::size_t after_sub_blocks(ImageBytes bytes, std::size_t at) {
  while (at < bytes.size()) {
    const std::size_t length = bytes[at];
    at += 1 + length;
    if (length == 0) return at;
  }
  return bytes.size() + 1;
}

/// Whether another picture follows. If the file ends here, the first picture is still complete.
bool gif_goes_on(ImageBytes bytes, std::size_t at) {
  while (at < bytes.size() && bytes[at] == gif_extension) at = after_sub_blocks(bytes, at + 2);
  return at < bytes.size() && bytes[at] == gif_picture;
}

std::size_t colour_table_bytes(std::uint8_t flags) {
  return flags & 0x80 ? std::size_t{3} << ((flags & 7) + 1) : 0;
}

}  // namespace

void throw_truncated(const std::string& name, const char* format, const char* what) {
  throw FormatError(concat("'", name, "' is a truncated ", format, ": ", what));
}

void require_pixel_count(std::int64_t width, std::int64_t height, const std::string& name) {
  require<FormatError>(width > 0 && height > 0, "'", name, "' has no pixels: ", width, " x ", height);
  // checking each factor first keeps the product within 64 bits
  const bool fits = width <= most_pixels && height <= most_pixels && width * height <= most_pixels;
  require<FormatError>(fits, "'", name, "' has ", width, " x ", height,
                       " pixels; more than 2^28 are not read");
}

void require_capacity(std::int64_t pixels, double most, std::size_t bytes, const ImageMarkers& markers,
                      const std::string& name) {
  require<FormatError>(static_cast<double>(pixels) <= most * static_cast<double>(bytes), "'", name,
                       "' claims ", markers.width, " x ", markers.height, " pixels, which its ", bytes,
                       " bytes cannot hold");
}

void require_plausible_size(std::int64_t width, std::int64_t height, std::size_t bytes,
                            const std::string& name) {
  constexpr std::int64_t always = std::int64_t{1} << 22, most_a_byte = 4096;
  require_pixel_count(width, height, name);
  require<FormatError>(
      width * height <= always || width * height / most_a_byte <= static_cast<std::int64_t>(bytes), "'", name,
      "' claims ", width, " x ", height, " pixels in ", bytes, " bytes; more than ", most_a_byte,
      " a byte are not read");
}

ImageMarkers read_png_markers(ImageBytes bytes, const std::string& name) {
  ImageMarkers markers{ImageFormat::png};
  std::size_t data = 0;
  int bits = 0;  // per pixel
  for (std::size_t at = 8;;) {
    if (at + 12 > bytes.size()) throw_truncated(name, "PNG", "its end chunk is missing");
    const std::size_t length = big_endian(bytes, at, 4);
    if (length > bytes.size() - at - 12) throw_truncated(name, "PNG", "a chunk is cut");
    const ImageBytes chunk = bytes.subspan(at + 4, length + 4), body = chunk.subspan(4);
    require<FormatError>(crc32(std::as_bytes(chunk)) == big_endian(bytes, at + 8 + length, 4), "'", name,
                         "' is a damaged PNG: the checksum of a chunk is wrong");
    if (starts_with(chunk, "IHDR") && length >= 13 && bits == 0) {
      markers.width = big_endian(body, 0, 4);
      markers.height = big_endian(body, 4, 4);
      markers.interlaced = body[12] != 0;
      const bool palette = body[9] & 1;
      bits = body[8] * (palette ? 1 : (body[9] & 2 ? 3 : 1) + (body[9] & 4 ? 1 : 0));
    }
    if (starts_with(chunk, "IDAT")) data += length;
    if (starts_with(chunk, "eXIf")) markers.orientation = exif_orientation(body);
    if (starts_with(chunk, "acTL") && length >= 4) markers.more = big_endian(body, 0, 4) > 1;
    if (starts_with(chunk, "IEND")) break;
    at += 12 + length;
  }
  require<FormatError>(bits > 0, "'", name, "' is a damaged PNG: its header is missing");
  require_pixel_count(markers.width, markers.height, name);
  constexpr double most_deflated = 1032;  // inflated bytes per compressed byte
  require_capacity(markers.width * markers.height, most_deflated * 8 / bits, data, markers, name);
  return markers;
}

ImageMarkers read_gif_markers(ImageBytes bytes, const std::string& name) {
  ImageMarkers markers{ImageFormat::gif};
  constexpr std::size_t header = 13, descriptor = 10;
  const auto need = [&](std::size_t end) {
    if (end > bytes.size()) throw_truncated(name, "GIF", "its data ends before the picture does");
  };
  need(header);
  markers.width = little_endian(bytes, 6, 2);
  markers.height = little_endian(bytes, 8, 2);
  require_plausible_size(markers.width, markers.height, bytes.size(), name);
  std::size_t at = header + colour_table_bytes(bytes[10]);
  for (need(at + 1); bytes[at] == gif_extension; need(at + 1)) at = after_sub_blocks(bytes, at + 2);
  require<FormatError>(bytes[at] != gif_end, "'", name, "' is a damaged GIF: it holds no picture");
  require<FormatError>(bytes[at] == gif_picture, "'", name,
                       "' is a damaged GIF: it has a block of the unknown kind ", int{bytes[at]});
  need(at + descriptor);
  markers.frame_pixels = std::int64_t{little_endian(bytes, at + 5, 2)} * little_endian(bytes, at + 7, 2);
  require<FormatError>(markers.frame_pixels > 0, "'", name, "' is a damaged GIF: its picture is empty");
  // a code of 12 bits represents at most 4096 pixels
  require_capacity(markers.frame_pixels, 4096 * 8 / 12.0, bytes.size(), markers, name);
  at = after_sub_blocks(bytes, at + descriptor + colour_table_bytes(bytes[at + 9]) + 1);
  need(at);
  markers.more = gif_goes_on(bytes, at);
  return markers;
}

ImageMarkers read_bmp_markers(ImageBytes bytes, const std::string& name) {
  ImageMarkers markers{ImageFormat::bmp};
  const std::uint32_t header = little_endian(bytes, 14, 4);
  const auto refuse = [&](const std::string& kind) {
    throw FormatError(concat("'", name, "' is a BMP ", kind, ", which is not supported; convert it to PNG"));
  };
  if (header != 12 && header != 40 && header != 56 && header != 108 && header != 124)
    refuse(concat("with a header of ", header, " bytes"));
  if (14 + header > bytes.size()) throw_truncated(name, "BMP", "its header is cut");
  std::int64_t bits = 0;
  if (header == 12) {
    markers.width = little_endian(bytes, 18, 2);
    markers.height = little_endian(bytes, 20, 2);
    bits = little_endian(bytes, 24, 2);
  } else {
    markers.width = static_cast<std::int32_t>(little_endian(bytes, 18, 4));
    markers.height = std::abs(std::int64_t{static_cast<std::int32_t>(little_endian(bytes, 22, 4))});
    bits = little_endian(bytes, 28, 2);
    const std::uint32_t compression = little_endian(bytes, 30, 4);
    if (compression == 1 || compression == 2) refuse("with run-length coding");
    if (compression > 3) refuse("that holds another format");
  }
  require_pixel_count(markers.width, markers.height, name);
  const std::int64_t stride = (markers.width * bits + 31) / 32 * 4, row = (markers.width * bits + 7) / 8;
  const std::int64_t end = little_endian(bytes, 10, 4) + stride * (markers.height - 1) + row;
  if (end > static_cast<std::int64_t>(bytes.size()))
    throw_truncated(name, "BMP", "its data ends before the picture does");
  return markers;
}

ImageMarkers read_webp_markers(ImageBytes bytes, const std::string& name) {
  ImageMarkers markers{ImageFormat::webp};
  const std::size_t size = little_endian(bytes, 4, 4);
  if (bytes.size() < 20 || size > bytes.size() - 8)
    throw_truncated(name, "WebP", "its data ends before the picture does");
  for (std::size_t at = 12; at + 8 <= 8 + size;) {
    const std::size_t length = little_endian(bytes, at + 4, 4);
    if (length > bytes.size() - at - 8) throw_truncated(name, "WebP", "a chunk is cut");
    const ImageBytes body = bytes.subspan(at + 8, length);
    if (starts_with(bytes.subspan(at), "VP8X") && length > 0) markers.more = (body[0] & 2) != 0;
    if (starts_with(bytes.subspan(at), "EXIF")) markers.orientation = exif_orientation(body);
    at += 8 + length + length % 2;
  }
  return markers;
}

ImageMarkers read_markers(ImageBytes bytes, const std::string& name) {
  switch (const ImageFormat format = image_format(bytes)) {
    case ImageFormat::jpeg:
      return read_jpeg_markers(bytes, name);
    case ImageFormat::png:
      return read_png_markers(bytes, name);
    case ImageFormat::gif:
      return read_gif_markers(bytes, name);
    case ImageFormat::bmp:
      return read_bmp_markers(bytes, name);
    case ImageFormat::webp:
      return read_webp_markers(bytes, name);
    case ImageFormat::unknown:
      throw FormatError(concat("'", name, "' is not a picture that fer reads: ", other_content(bytes)));
    default:
      return {format};
  }
}

}  // namespace fer::detail
