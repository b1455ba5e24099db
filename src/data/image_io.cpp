// PNG and JPEG files through stb, with the checks that stb leaves out: truncation, checksums, orientation,
// and colour spaces that it would guess.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include "data/file_io.h"
#include "data/image_markers.h"
#include "fer/data/image.h"
#include "fer/error.h"
#include "fer/formats/atomic_file.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_FAILURE_USERMSG
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image.h>
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace fer {
namespace {

using detail::ImageMarkers;

constexpr std::int64_t most_pixels = std::int64_t{1} << 28;
constexpr std::size_t most_bytes = std::size_t{1} << 30;

/// The picture turned and mirrored as its EXIF orientation (1 to 8) says it is to be seen.
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

using Pixels = std::unique_ptr<stbi_uc, void (*)(void*)>;

/// stb goes on with zeros where a scan ends before its picture, as one does that was cut and then closed with
/// an end marker. It fills a buffer of 32 bits, so of a whole scan it reads at most four bytes beyond the
/// end. Here four are put there, and a decoder that has met the marker behind them wanted more than there is.
/// A cut within the last few blocks may escape, where zeros for what is missing are shorter than two bytes.
Pixels decode_jpeg(std::span<const std::uint8_t> bytes, std::size_t scan_end, const std::string& name,
                   int wanted, int& width, int& height) {
  std::vector<std::uint8_t> padded(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(scan_end));
  padded.insert(padded.end(), 4, std::uint8_t{0});
  padded.insert(padded.end(), bytes.begin() + static_cast<std::ptrdiff_t>(scan_end), bytes.end());
  stbi__context context;
  stbi__start_mem(&context, padded.data(), static_cast<int>(padded.size()));
  const auto decoder = std::make_unique<stbi__jpeg>();
  decoder->s = &context;
  stbi__setup_jpeg(decoder.get());
  int channels = 0;
  Pixels pixels(load_jpeg_image(decoder.get(), &width, &height, &channels, wanted), stbi_image_free);
  require<FormatError>(!pixels || !decoder->nomore, "'", name,
                       "' is a truncated JPEG: its data ends before the picture does");
  return pixels;
}

/// What stb would write wrongly: its sizes are ints, and a JPEG's sides have 16 bits.
void require_writable(const Image& image, const char* op, int longest_side) {
  require<ShapeError>(!image.empty(), "[", op, "] the image is empty");
  const std::int64_t pixels = std::int64_t{image.width} * image.height;
  require<ShapeError>(image.width <= longest_side && image.height <= longest_side && pixels <= most_pixels,
                      "[", op, "] the image has ", image.width, " x ", image.height,
                      " pixels; the format takes sides of ", longest_side,
                      ", and more than 2^28 pixels are not written");
}

}  // namespace

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name) {
  const ImageMarkers markers = detail::read_markers(bytes, name);
  // each is checked before their product, which then stays within 64 bits
  const bool fits = markers.width <= most_pixels && markers.height <= most_pixels &&
                    markers.width * markers.height <= most_pixels;
  require<FormatError>(fits, "'", name, "' has ", markers.width, " x ", markers.height,
                       " pixels; more than 2^28 are not read");
  require<FormatError>(bytes.size() <= most_bytes, "'", name, "' is larger than 1 GiB");
  const int size = static_cast<int>(bytes.size());
  int width = 0, height = 0, channels = 0;
  if (!stbi_info_from_memory(bytes.data(), size, &width, &height, &channels)) {
    throw FormatError(concat("'", name, "' is a damaged ", markers.format, ": ", stbi_failure_reason()));
  }
  const int wanted = channels <= 2 ? 1 : 3;
  const Pixels data =
      markers.scan_end > 0
          ? decode_jpeg(bytes, markers.scan_end, name, wanted, width, height)
          : Pixels(stbi_load_from_memory(bytes.data(), size, &width, &height, &channels, wanted),
                   stbi_image_free);
  if (!data)
    throw FormatError(concat("'", name, "' is a damaged ", markers.format, ": ", stbi_failure_reason()));
  Image image(height, width, wanted);
  std::memcpy(image.pixels.data(), data.get(), image.pixels.size());
  return oriented(std::move(image), markers.orientation);
}

Image read_image(const std::filesystem::path& path) {
  return decode_image(detail::numbers_of(read_file(path, most_bytes)), path.string());
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
