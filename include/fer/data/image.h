// Pictures: reading, writing, resizing and cropping 8-bit images, H x W x C with C = 1 (grey) or 3 (RGB).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace fer {

/// An 8-bit picture, row-major H x W x C. No pixels: "none".
struct Image {
  int height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;

  Image() = default;
  Image(int height, int width, int channels, std::uint8_t value = 0);

  bool empty() const { return pixels.empty(); }
  std::uint8_t* row(int y) { return pixels.data() + static_cast<std::size_t>(y) * width * channels; }
  const std::uint8_t* row(int y) const {
    return pixels.data() + static_cast<std::size_t>(y) * width * channels;
  }
  std::uint8_t& at(int y, int x, int c = 0) { return row(y)[x * channels + c]; }
  std::uint8_t at(int y, int x, int c = 0) const { return row(y)[x * channels + c]; }
  bool operator==(const Image&) const = default;
};

/// Information about a picture file besides the pixels.
struct ImageInfo {
  std::string format;  ///< "JPEG"
  bool more = false;   ///< the file holds more pictures: an animation or pages
};

/// Reads a picture file by its content, not its name: JPEG, PNG, GIF, BMP and binary PNM, and, if the build
/// has the libraries, WebP, TIFF, HEIC and AVIF. Grey pictures have one channel, all others are RGB. Reads
/// only the first picture of a file. 16-bit samples keep their high byte, palettes are expanded, alpha is
/// dropped, CMYK is converted, and the EXIF orientation is applied. IoError if the file cannot be read or
/// memory runs out. FormatError, naming the file, if it has another format, is damaged or truncated, has more
/// than 2^28 pixels, or claims more pixels than its bytes can hold.
Image read_image(const std::filesystem::path& path, ImageInfo* info = nullptr);

/// The same from memory; `name` stands for the file in errors.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, ImageInfo* info = nullptr);

/// Whether the extension is a picture's, including formats that this build cannot decode.
bool is_picture_name(const std::filesystem::path& path);
/// Whether it is a regular file that has such a name or begins like a picture.
bool is_picture_file(const std::filesystem::path& path);

/// The decoder of each format in this build: "JPEG by libjpeg-turbo 2.1.5; PNG, GIF and BMP by stb; ...".
/// JPEG pixels differ by a few levels between decoders, and so do networks trained on them.
std::string picture_decoders();

/// ShapeError for an empty picture, and for one of more than 2^28 pixels or, as JPEG, with a side of more
/// than 65535.
std::vector<std::uint8_t> encode_png(const Image& image);
/// quality: 1 to 100.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality = 92);

/// Writes PNG or JPEG, by extension (ConfigError for another one), to a temporary file that is then renamed
/// to `path`. If writing fails (IoError), an existing file stays unchanged.
void write_image(const std::filesystem::path& path, const Image& image, int jpeg_quality = 92);

/// Bilinear, antialiased when it shrinks: the arithmetic of Pillow's Image.resize(BILINEAR), and so of
/// torchvision.transforms.Resize on PIL images.
Image resize(const Image& image, int height, int width);

/// The given rectangle; parts outside of the image repeat its border.
Image crop(const Image& image, int top, int left, int height, int width);

Image flip_horizontal(const Image& image);
/// Rotates clockwise by `quarters` quarter turns, 0 to 3.
Image turn_clockwise(const Image& image, int quarters);
/// The luma of ITU-R BT.601 (luma_weights), as Pillow's convert("L").
Image to_grey(const Image& image);
Image to_rgb(const Image& image);
/// Whether a picture shows no colour: one channel, or three that differ by at most 8 of 255 in every pixel,
/// as JPEG compression may cause in a grey picture.
bool is_grey(const Image& image);

}  // namespace fer
