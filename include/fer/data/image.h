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

/// What a file says of its picture besides the pixels.
struct ImageInfo {
  std::string format;  ///< "JPEG"
  bool more = false;   ///< the file holds other pictures, too: an animation or pages
};

/// Reads a picture file by its content, not its name: JPEG, PNG, GIF, BMP and binary PNM, and with the
/// libraries for them WebP, TIFF, HEIC and AVIF. Grey comes as one channel, all else as RGB. Of several
/// pictures in a file the first is read. 16-bit samples keep their high byte, palettes are expanded, alpha is
/// dropped, CMYK is converted, and the EXIF orientation is applied. IoError if the file cannot be read or
/// memory does not suffice; FormatError, naming it, if it is another format, damaged, truncated, larger than
/// 2^28 pixels, or claims more pixels than its bytes can hold.
Image read_image(const std::filesystem::path& path, ImageInfo* info = nullptr);

/// The same from memory; `name` stands for the file in errors.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name, ImageInfo* info = nullptr);

/// Whether the extension is one of a picture, also of one that this build cannot decode.
bool is_picture_name(const std::filesystem::path& path);
/// Whether a regular file has such a name or, with another name, begins like a picture.
bool is_picture_file(const std::filesystem::path& path);

/// What decodes which format in this build: "JPEG by libjpeg-turbo 2.1.5; PNG, GIF and BMP by stb; ...". The
/// pixels of a JPEG differ by a few levels between decoders, and so does what is trained on them.
std::string picture_decoders();

/// ShapeError for an empty picture, and for one of more than 2^28 pixels or, as JPEG, with a side of more
/// than 65535.
std::vector<std::uint8_t> encode_png(const Image& image);
/// quality: 1 to 100.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality = 92);

/// Writes PNG or JPEG as the extension says (ConfigError for another), into a file beside `path` that then
/// takes its name: whatever was there before stays whole if writing fails (IoError).
void write_image(const std::filesystem::path& path, const Image& image, int jpeg_quality = 92);

/// Bilinear with antialiasing where it shrinks: the arithmetic of Pillow's Image.resize(BILINEAR), and so of
/// torchvision.transforms.Resize on PIL images.
Image resize(const Image& image, int height, int width);

/// The given rectangle; parts outside of the image repeat its border.
Image crop(const Image& image, int top, int left, int height, int width);

Image flip_horizontal(const Image& image);
/// Turned clockwise by so many quarters of a circle, 0 to 3.
Image turn_clockwise(const Image& image, int quarters);
/// The luma of ITU-R BT.601 (luma_weights), as Pillow's convert("L").
Image to_grey(const Image& image);
Image to_rgb(const Image& image);
/// Whether a picture shows no colour: one channel, or three that differ by 8 of 255 at most in every pixel,
/// which is what a JPEG may add to a grey picture.
bool is_grey(const Image& image);

}  // namespace fer
