// Converts bytes to a normalised batch: flip, (pixel / 255 - mean) / std, erase. Grey images are repeated to
// three channels. A byte has only 256 values, so a table per channel replaces the arithmetic.
#include <algorithm>
#include <array>

#include "cpu/cpu_backend.h"
#include "tensor/operand_checks.h"

namespace fer {
namespace {

template <typename T>
using Table = std::array<std::array<T, 256>, 3>;

template <typename T>
Table<T> normalised_values(const float mean[3], const float std[3]) {
  Table<T> table;
  for (int c = 0; c < 3; ++c) {
    for (int value = 0; value < 256; ++value)
      table[c][value] = (static_cast<T>(value) / T(255) - static_cast<T>(mean[c])) / static_cast<T>(std[c]);
  }
  return table;
}

/// Converts one row of one image: width x channels bytes to width x 3 values.
template <typename T>
void preprocess_row(const std::uint8_t* pixels, std::int64_t width, std::int64_t channels, bool flip,
                    const Table<T>& table, T* y) {
  for (std::int64_t x = 0; x < width; ++x) {
    const std::uint8_t* pixel = pixels + (flip ? width - 1 - x : x) * channels;
    for (int c = 0; c < 3; ++c) y[3 * x + c] = table[c][pixel[channels == 3 ? c : 0]];
  }
}

}  // namespace

void CpuBackend::preprocess_images(const Tensor& images, std::span<const ImageTransform> transforms,
                                   const float mean[3], const float std[3], Tensor& y) {
  check_preprocess_images(images, transforms, std, y);
  dispatch_floating(y.dtype(), "preprocess_images", [&]<typename T>() {
    const Table<T> table = normalised_values<T>(mean, std);
    const std::uint8_t* in = images.data<std::uint8_t>();
    T* out = y.mutable_data<T>();
    const std::int64_t n = images.dim(0), height = images.dim(1), width = images.dim(2),
                       channels = images.dim(3);
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < n; ++i) {
      const ImageTransform& t = transforms[i];
      for (std::int64_t row = 0; row < height; ++row) {
        T* y_row = out + (i * height + row) * width * 3;
        preprocess_row(in + (i * height + row) * width * channels, width, channels, t.flip != 0, table,
                       y_row);
        if (row >= t.erase_top && row < t.erase_top + t.erase_height)
          std::fill(y_row + 3 * t.erase_left, y_row + 3 * (t.erase_left + t.erase_width), T(0));
      }
    }
  });
}

}  // namespace fer
