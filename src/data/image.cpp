// Pixel operations that need no file: crop, mirror, channels, and the resize that the backends share.
#include "fer/data/image.h"

#include <algorithm>

#include "fer/error.h"
#include "fer/formats/input_spec.h"
#include "tensor/resize_image.h"

namespace fer {
namespace {

void require_pixels(const Image& image, const char* op) {
  require<ShapeError>(!image.empty() && image.height > 0 && image.width > 0, "[", op, "] the image is empty");
}

}  // namespace

Image::Image(int height_, int width_, int channels_, std::uint8_t value)
    : height(height_), width(width_), channels(channels_) {
  require<ShapeError>(height > 0 && width > 0 && (channels == 1 || channels == 3),
                      "[image] needs positive extents and 1 or 3 channels, got ", height, " x ", width, " x ",
                      channels);
  pixels.assign(static_cast<std::size_t>(height) * width * channels, value);
}

Image resize(const Image& image, int height, int width) {
  require_pixels(image, "resize");
  require<ShapeError>(height > 0 && width > 0, "[resize] needs positive extents, got ", height, " x ", width);
  Image out(height, width, image.channels);
  detail::resize_image(image.pixels.data(), image.height, image.width, image.channels, out.pixels.data(),
                       height, width);
  return out;
}

Image crop(const Image& image, int top, int left, int height, int width) {
  require_pixels(image, "crop");
  Image out(height, width, image.channels);
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from = image.row(std::clamp(top + y, 0, image.height - 1));
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < width; ++x) {
      const int source = std::clamp(left + x, 0, image.width - 1) * image.channels;
      for (int c = 0; c < image.channels; ++c) *to++ = from[source + c];
    }
  }
  return out;
}

Image flip_horizontal(const Image& image) {
  Image out = image;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < image.channels; ++c) out.at(y, x, c) = image.at(y, image.width - 1 - x, c);
    }
  }
  return out;
}

Image turn_clockwise(const Image& image, int quarters) {
  if (quarters == 0) return image;
  require<ShapeError>(quarters > 0 && quarters < 4, "[turn_clockwise] takes 0 to 3 quarters, got ", quarters);
  const bool swapped = quarters % 2 == 1;
  Image out(swapped ? image.width : image.height, swapped ? image.height : image.width, image.channels);
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const int from_y = quarters == 1 ? image.height - 1 - x : quarters == 2 ? image.height - 1 - y : x;
      const int from_x = quarters == 1 ? y : quarters == 2 ? image.width - 1 - x : image.width - 1 - y;
      for (int c = 0; c < image.channels; ++c) out.at(y, x, c) = image.at(from_y, from_x, c);
    }
  }
  return out;
}

Image to_grey(const Image& image) {
  if (image.channels == 1) return image;
  Image out(image.height, image.width, 1);
  const std::uint8_t* from = image.pixels.data();
  for (std::uint8_t& grey : out.pixels) {
    const int sum = from[0] * luma_weights[0] + from[1] * luma_weights[1] + from[2] * luma_weights[2];
    grey = static_cast<std::uint8_t>((sum + 0x8000) >> 16);
    from += 3;
  }
  return out;
}

Image to_rgb(const Image& image) {
  if (image.channels == 3) return image;
  Image out(image.height, image.width, 3);
  std::uint8_t* to = out.pixels.data();
  for (std::uint8_t grey : image.pixels) {
    to[0] = to[1] = to[2] = grey;
    to += 3;
  }
  return out;
}

bool is_grey(const Image& image) {
  constexpr int max_spread = 8;
  if (image.channels == 1) return true;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    const auto [least, most] = std::minmax({image.pixels[i], image.pixels[i + 1], image.pixels[i + 2]});
    if (most - least > max_spread) return false;
  }
  return true;
}

}  // namespace fer
