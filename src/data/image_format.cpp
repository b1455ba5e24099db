// Detects formats by their first bytes, and lists the file names that they use.
#include "data/image_format.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "data/file_io.h"
#include "fer/data/image.h"

namespace fer {
namespace detail {
namespace {

using namespace std::string_view_literals;

struct Signature {
  std::string_view prefix;
  std::size_t at;
  std::string_view text;
};

/// The brand of an ISO media file ("....ftypBRND"), which tells pictures from videos.
ImageFormat media_brand(ImageBytes bytes) {
  if (bytes.size() < 12 || !starts_with(bytes.subspan(4), "ftyp")) return ImageFormat::unknown;
  const std::size_t end = std::min<std::size_t>({bytes.size(), big_endian(bytes, 0, 4), 64});
  bool heic = false;
  for (std::size_t at = 8; at + 4 <= end; at += 4) {
    const std::string_view brand(reinterpret_cast<const char*>(bytes.data()) + at, 4);
    if (brand == "avif" || brand == "avis") return ImageFormat::avif;
    constexpr std::array heic_brands{"heic"sv, "heix"sv, "heim"sv, "heis"sv, "hevc"sv, "hevx"sv, "mif1"sv};
    heic = heic || std::find(heic_brands.begin(), heic_brands.end(), brand) != heic_brands.end();
  }
  return heic ? ImageFormat::heic : ImageFormat::unknown;
}

/// A text may also begin with "BM". A BMP continues with zeros and a valid header size.
bool is_bmp(ImageBytes bytes) {
  if (!starts_with(bytes, "BM") || bytes.size() < 18 || big_endian(bytes, 6, 4) != 0) return false;
  const std::uint32_t header = little_endian(bytes, 14, 4);
  return header == 12 || (header >= 40 && header <= 124);
}

bool is_pnm(ImageBytes bytes) {
  return bytes.size() >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' &&
         (bytes[2] == '\n' || bytes[2] == '\r' || bytes[2] == ' ' || bytes[2] == '\t');
}

}  // namespace

bool starts_with(ImageBytes bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() && std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

ImageFormat image_format(ImageBytes bytes) {
  if (starts_with(bytes, "\x89PNG\r\n\x1a\n")) return ImageFormat::png;
  if (starts_with(bytes, "\xFF\xD8\xFF")) return ImageFormat::jpeg;
  if (starts_with(bytes, "GIF87a") || starts_with(bytes, "GIF89a")) return ImageFormat::gif;
  if (starts_with(bytes, "RIFF") && bytes.size() >= 12 && starts_with(bytes.subspan(8), "WEBP"))
    return ImageFormat::webp;
  for (const std::string_view tiff : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv})
    if (starts_with(bytes, tiff)) return ImageFormat::tiff;
  if (is_bmp(bytes)) return ImageFormat::bmp;
  if (is_pnm(bytes)) return ImageFormat::pnm;
  return media_brand(bytes);
}

std::string_view name_of(ImageFormat format) {
  constexpr std::array names{""sv,    "JPEG"sv, "PNG"sv,  "GIF"sv,  "BMP"sv,
                             "PNM"sv, "WebP"sv, "TIFF"sv, "HEIC"sv, "AVIF"sv};
  return names[static_cast<std::size_t>(format)];
}

std::string_view other_content(ImageBytes bytes) {
  if (bytes.empty()) return "the file is empty";
  constexpr std::array known{Signature{"\0\0\0\x0cjP  "sv, 0, "it is a JPEG 2000"},
                             Signature{"\xFF\x4F\xFF\x51"sv, 0, "it is a JPEG 2000"},
                             Signature{"\0\0\0\x0cJXL "sv, 0, "it is a JPEG XL"},
                             Signature{"\xFF\x0A"sv, 0, "it is a JPEG XL"},
                             Signature{"8BPS"sv, 0, "it is a Photoshop file"},
                             Signature{"%PDF"sv, 0, "it is a PDF"},
                             Signature{"ftyp"sv, 4, "it is a video or another media file"},
                             Signature{"\x1A\x45\xDF\xA3"sv, 0, "it is a video or another media file"},
                             Signature{"PK\x03\x04"sv, 0, "it is a zip archive"},
                             Signature{"<svg"sv, 0, "it is an SVG drawing"},
                             Signature{"<!DOCTYPE html"sv, 0, "it is a web page"},
                             Signature{"<html"sv, 0, "it is a web page"}};
  for (const Signature& s : known)
    if (bytes.size() > s.at && starts_with(bytes.subspan(s.at), s.prefix)) return s.text;
  return "it does not start with the signature of one";
}

int exif_orientation(ImageBytes tiff) {
  if (starts_with(tiff, "Exif\0\0"sv)) tiff = tiff.subspan(6);
  if (tiff.size() < 8) return 1;
  const bool little = starts_with(tiff, "II");
  if (!little && !starts_with(tiff, "MM")) return 1;
  const auto number = [&](std::size_t at, int count) {
    return little ? little_endian(tiff, at, count) : big_endian(tiff, at, count);
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

}  // namespace detail

bool is_picture_name(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 16> known{".png", ".jpg",  ".jpeg", ".jpe",  ".jfif", ".bmp",
                                                   ".dib", ".gif",  ".tif",  ".tiff", ".webp", ".pgm",
                                                   ".ppm", ".heic", ".heif", ".avif"};
  return std::find(known.begin(), known.end(), detail::to_lower(path.extension().string())) != known.end();
}

bool is_picture_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return false;
  if (is_picture_name(path)) return true;
  std::array<std::uint8_t, 64> head{};
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(head.data()), head.size());
  const auto read = static_cast<std::size_t>(file.gcount());
  return detail::image_format(std::span(head).first(read)) != detail::ImageFormat::unknown;
}

}  // namespace fer
