// The format of a file, detected from its first bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace fer::detail {

using ImageBytes = std::span<const std::uint8_t>;

enum class ImageFormat { unknown, jpeg, png, gif, bmp, pnm, webp, tiff, heic, avif };

/// Detects by content; reads at most the first 64 bytes.
ImageFormat image_format(ImageBytes bytes);
/// "JPEG"; empty for `unknown`.
std::string_view name_of(ImageFormat format);
/// A description of a file in none of these formats: "it is a JPEG XL", "the file is empty".
std::string_view other_content(ImageBytes bytes);

bool starts_with(ImageBytes bytes, std::string_view prefix);

/// The EXIF orientation (1 to 8) in a TIFF block ("II*\0..." or "MM\0*..."), which may follow "Exif\0\0"; 1
/// if it is missing or invalid.
int exif_orientation(ImageBytes block);

/// Numbers of `count` bytes, at most 4. The caller checks that the bytes exist.
inline std::uint32_t big_endian(ImageBytes bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + static_cast<std::size_t>(i)];
  return value;
}
inline std::uint32_t little_endian(ImageBytes bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes[at + static_cast<std::size_t>(i)];
  return value;
}

}  // namespace fer::detail
