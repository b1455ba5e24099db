// Bilinear resize of 8-bit pictures, antialiased where it shrinks, in Pillow's arithmetic: fixed-point
// weights (tensor/resize_filter.h), a pass along the rows and one along the columns, with 8-bit values
// between them. It uses neither Tensor nor Backend, because the video module links it without them.
#include "tensor/resize_image.h"

#include <algorithm>
#include <vector>

#include "tensor/resize_filter.h"

namespace fer::detail {
namespace {

std::uint8_t to_byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> ResizeFilter::bits, 0, 255));
}

/// x: height x width x channels -> y: height x new_width x channels.
void resize_rows(const std::uint8_t* x, int height, int width, int channels, std::uint8_t* y, int new_width) {
  const ResizeFilter filter = resize_filter(width, new_width);
  for (int row = 0; row < height; ++row, x += std::ptrdiff_t{width} * channels) {
    const std::int32_t* weights = filter.weights.data();
    for (int o = 0; o < new_width; ++o, weights += filter.width) {
      const std::uint8_t* from = x + filter.first[o] * channels;
      for (int c = 0; c < channels; ++c) {
        std::int32_t sum = ResizeFilter::half;
        for (int i = 0; i < filter.count[o]; ++i) sum += weights[i] * from[i * channels + c];
        *y++ = to_byte(sum);
      }
    }
  }
}

/// x: height x n -> y: new_height x n.
void resize_columns(const std::uint8_t* x, int height, std::ptrdiff_t n, std::uint8_t* y, int new_height) {
  const ResizeFilter filter = resize_filter(height, new_height);
  std::vector<std::int32_t> sums(static_cast<std::size_t>(n));
  const std::int32_t* weights = filter.weights.data();
  for (int o = 0; o < new_height; ++o, weights += filter.width, y += n) {
    std::fill(sums.begin(), sums.end(), ResizeFilter::half);
    for (int i = 0; i < filter.count[o]; ++i) {
      const std::uint8_t* from = x + (filter.first[o] + i) * n;
      for (std::ptrdiff_t k = 0; k < n; ++k) sums[k] += weights[i] * from[k];
    }
    std::transform(sums.begin(), sums.end(), y, to_byte);
  }
}

}  // namespace

void resize_image(const std::uint8_t* x, int height, int width, int channels, std::uint8_t* y, int new_height,
                  int new_width) {
  const std::ptrdiff_t new_row = std::ptrdiff_t{new_width} * channels;
  if (height == new_height && width == new_width) {
    std::copy_n(x, height * new_row, y);
  } else if (height == new_height) {
    resize_rows(x, height, width, channels, y, new_width);
  } else if (width == new_width) {
    resize_columns(x, height, new_row, y, new_height);
  } else {
    std::vector<std::uint8_t> wide(static_cast<std::size_t>(height * new_row));
    resize_rows(x, height, width, channels, wide.data(), new_width);
    resize_columns(wide.data(), height, new_row, y, new_height);
  }
}

}  // namespace fer::detail
