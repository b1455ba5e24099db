// Pixel operations that need no file: crop, mirror, channels, and Pillow's bilinear resize.
//
// The resize reproduces Pillow's arithmetic: a triangle filter whose support grows with the shrink factor,
// coefficients rounded to 22 fractional bits, one horizontal and one vertical pass with 8-bit values between
// them.
#include "fer/data/image.h"

#include <algorithm>
#include <cmath>

#include "fer/error.h"

namespace fer {
namespace {

constexpr int coefficient_bits = 22;

/// For each output position: the first input position that counts, and `width` fixed-point weights.
struct Filter {
  int width = 0;
  std::vector<int> first, count;
  std::vector<std::int32_t> weights;  // outputs x width
};

Filter triangle_filter(int input, int output) {
  const double scale = static_cast<double>(input) / output;
  const double support = std::max(scale, 1.0);
  Filter filter;
  filter.width = static_cast<int>(std::ceil(support)) * 2 + 1;
  filter.first.resize(output);
  filter.count.resize(output);
  filter.weights.assign(static_cast<std::size_t>(output) * filter.width, 0);
  std::vector<double> w(filter.width);
  for (int o = 0; o < output; ++o) {
    const double center = (o + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int last = std::min(static_cast<int>(center + support + 0.5), input);
    double sum = 0;
    for (int i = first; i < last; ++i) {
      w[i - first] = std::max(1.0 - std::abs((i - center + 0.5) / support), 0.0);
      sum += w[i - first];
    }
    filter.first[o] = first;
    filter.count[o] = last - first;
    for (int i = 0; i < last - first; ++i) {
      filter.weights[static_cast<std::size_t>(o) * filter.width + i] =
          static_cast<std::int32_t>(w[i] / sum * (1 << coefficient_bits) + 0.5);
    }
  }
  return filter;
}

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> coefficient_bits, 0, 255));
}

Image resize_rows(const Image& image, int width) {
  const Filter filter = triangle_filter(image.width, width);
  Image out(image.height, width, image.channels);
  const int channels = image.channels;
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* in = image.row(y);
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < width; ++x) {
      const std::int32_t* weights = &filter.weights[static_cast<std::size_t>(x) * filter.width];
      const std::uint8_t* from = in + filter.first[x] * channels;
      for (int c = 0; c < channels; ++c) {
        std::int32_t sum = 1 << (coefficient_bits - 1);
        for (int i = 0; i < filter.count[x]; ++i) sum += weights[i] * from[i * channels + c];
        to[x * channels + c] = to_byte(sum);
      }
    }
  }
  return out;
}

Image resize_columns(const Image& image, int height) {
  const Filter filter = triangle_filter(image.height, height);
  Image out(height, image.width, image.channels);
  const int n = image.width * image.channels;
  std::vector<std::int32_t> sums(n);
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), 1 << (coefficient_bits - 1));
    for (int i = 0; i < filter.count[y]; ++i) {
      const std::int32_t weight = filter.weights[static_cast<std::size_t>(y) * filter.width + i];
      const std::uint8_t* from = image.row(filter.first[y] + i);
      for (int k = 0; k < n; ++k) sums[k] += weight * from[k];
    }
    std::uint8_t* to = out.row(y);
    for (int k = 0; k < n; ++k) to[k] = to_byte(sums[k]);
  }
  return out;
}

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
  if (width == image.width) return height == image.height ? image : resize_columns(image, height);
  const Image wide = resize_rows(image, width);
  return height == image.height ? wide : resize_columns(wide, height);
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

Image to_grey(const Image& image) {
  if (image.channels == 1) return image;
  Image out(image.height, image.width, 1);
  const std::uint8_t* from = image.pixels.data();
  for (std::uint8_t& grey : out.pixels) {  // ITU-R 601 luma in 16 fractional bits
    grey = static_cast<std::uint8_t>((from[0] * 19595 + from[1] * 38470 + from[2] * 7471 + 0x8000) >> 16);
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

}  // namespace fer
