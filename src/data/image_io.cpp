// Reads and writes pictures: one decoder per format, and stb as the encoder.
#include <algorithm>
#include <limits>
#include <new>

#include "data/file_io.h"
#include "data/image_decoders.h"
#include "fer/data/image.h"
#include "fer/error.h"
#include "fer/formats/atomic_file.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace fer {
namespace {

constexpr std::int64_t most_pixels = std::int64_t{1} << 28;
constexpr std::size_t most_bytes = std::size_t{1} << 30;

/// Turns and mirrors the picture as its EXIF orientation (1 to 8) requires.
Image oriented(Image image, int orientation) {
  if (orientation <= 1) return image;
  const bool transposed = orientation >= 5;
  Image out(transposed ? image.width : image.height, transposed ? image.height : image.width, image.channels);
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      int from_y = transposed ? x : y, from_x = transposed ? y : x;
      if (mirror_x) from_x = image.width - 1 - from_x;
      if (mirror_y) from_y = image.height - 1 - from_y;
      for (int c = 0; c < image.channels; ++c) out.at(y, x, c) = image.at(from_y, from_x, c);
    }
  }
  return out;
}

void append(void* context, void* data, int size) {
  auto& bytes = *static_cast<std::vector<std::uint8_t>*>(context);
  const auto* begin = static_cast<const std::uint8_t*>(data);
  bytes.insert(bytes.end(), begin, begin + size);
}

void write_bytes(const std::filesystem::path& path, const std::vector<std::uint8_t>& bytes) {
  const std::span<const std::byte> part = std::as_bytes(std::span(bytes));
  write_file_atomically(path, std::span(&part, 1));
}

Image decode_pixels(detail::ImageBytes bytes, detail::ImageMarkers& markers, const std::string& name) {
  switch (markers.format) {
    case detail::ImageFormat::jpeg:
      return detail::decode_jpeg(bytes, markers, name);
    case detail::ImageFormat::pnm:
      return detail::decode_pnm(bytes, name);
    case detail::ImageFormat::webp:
      return detail::decode_webp(bytes, markers, name);
    case detail::ImageFormat::tiff:
      return detail::decode_tiff(bytes, markers, name);
    case detail::ImageFormat::heic:
    case detail::ImageFormat::avif:
      return detail::decode_heif(bytes, markers, name);
    default:
      return detail::decode_with_stb(bytes, markers, name);
  }
}

/// Refuses sizes that stb would write wrongly: its sizes are ints, and a JPEG's sides have 16 bits.
void require_writable(const Image& image, const char* op, int longest_side) {
  require<ShapeError>(!image.empty(), "[", op, "] the image is empty");
  const std::int64_t pixels = std::int64_t{image.width} * image.height;
  require<ShapeError>(image.width <= longest_side && image.height <= longest_side && pixels <= most_pixels,
                      "[", op, "] the image has ", image.width, " x ", image.height,
                      " pixels; the format takes sides of ", longest_side,
                      ", and more than 2^28 pixels are not written");
}

}  // namespace

namespace detail {

void throw_no_decoder(const ImageMarkers& markers, const std::string& name, const char* library,
                      const char* package) {
  throw FormatError(concat("'", name, "' is a ", name_of(markers.format), ", which is read by ", library,
                           "; this build was configured without it (Debian: ", package, ")"));
}

}  // namespace detail

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, ImageInfo* info) {
  require<FormatError>(bytes.size() <= most_bytes, "'", name, "' is larger than 1 GiB");
  detail::ImageMarkers markers = detail::read_markers(bytes, name);
  try {
    Image image = decode_pixels(bytes, markers, name);
    if (info) *info = {std::string(name_of(markers.format)), markers.more};
    return oriented(std::move(image), markers.orientation);
  } catch (const std::bad_alloc&) {
    throw IoError(concat("'", name, "' is too large for the memory that is left"));
  }
}

Image read_image(const std::filesystem::path& path, ImageInfo* info) {
  return decode_image(detail::numbers_of(read_file(path, most_bytes)), path.string(), info);
}

std::string picture_decoders() {
  const std::string jpeg = detail::jpeg_library();
  std::string text = concat("JPEG by ", jpeg.empty() ? "stb" : jpeg, "; PNG, GIF and BMP by stb");
  const auto add = [&text](const char* formats, const std::string& library, const char* package) {
    text += concat("; ", formats,
                   library.empty() ? concat(" not read (Debian: ", package, ")") : " by " + library);
  };
  add("WebP", detail::webp_library(), "libwebp-dev");
  add("TIFF", detail::tiff_library(), "libtiff-dev");
  add("HEIC and AVIF", detail::heif_library(), "libheif-dev");
  return text;
}

std::vector<std::uint8_t> encode_png(const Image& image) {
  require_writable(image, "encode_png", std::numeric_limits<int>::max());
  std::vector<std::uint8_t> bytes;
  require<IoError>(stbi_write_png_to_func(append, &bytes, image.width, image.height, image.channels,
                                          image.pixels.data(), image.width * image.channels) != 0,
                   "[encode_png] out of memory");
  return bytes;
}

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  require_writable(image, "encode_jpeg", 65535);
  require<ConfigError>(quality >= 1 && quality <= 100, "JPEG quality must be 1 to 100, got ", quality);
  std::vector<std::uint8_t> bytes;
  require<IoError>(stbi_write_jpg_to_func(append, &bytes, image.width, image.height, image.channels,
                                          image.pixels.data(), quality) != 0,
                   "[encode_jpeg] out of memory");
  return bytes;
}

void write_image(const std::filesystem::path& path, const Image& image, int jpeg_quality) {
  const std::string extension = detail::to_lower(path.extension().string());
  if (extension == ".png") {
    write_bytes(path, encode_png(image));
  } else if (extension == ".jpg" || extension == ".jpeg") {
    write_bytes(path, encode_jpeg(image, jpeg_quality));
  } else {
    throw ConfigError(
        concat("cannot write '", path.string(), "': pictures are written as .png, .jpg or .jpeg"));
  }
}

}  // namespace fer
