// The tiles of an image map and the addresses of their pixels.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "cpu/gemm.h"
#include "cpu/scratch.h"

namespace fer::detail {

/// Tiles of side x side pixels, `step` apart, over n maps of h x w pixels with `channels` channels; tile (i,
/// j) begins at pixel (i * step - shift, j * step - shift).
struct TileGrid {
  const float* data;
  std::int64_t n, h, w, channels;
  std::int64_t rows, columns;  // of tiles in a map
  std::int64_t side, step, shift;

  std::int64_t count() const { return n * rows * columns; }

  /// The patches of x (h x w) from which the m x m tiles of outputs (out_h x out_w) follow.
  static TileGrid inputs(const float* x, std::int64_t n, std::int64_t h, std::int64_t w,
                         std::int64_t channels, std::int64_t out_h, std::int64_t out_w, std::int64_t m,
                         std::int64_t padding) {
    return {x, n, h, w, channels, ceil_div(out_h, m), ceil_div(out_w, m), m + 2, m, padding};
  }
  static TileGrid outputs(const float* y, std::int64_t n, std::int64_t h, std::int64_t w,
                          std::int64_t channels, std::int64_t m) {
    return {y, n, h, w, channels, ceil_div(h, m), ceil_div(w, m), m, m, 0};
  }
};

/// Pointers to the pixels of one tile after another.
class TilePixels {
 public:
  explicit TilePixels(const TileGrid& grid) : grid_(grid) {}

  /// Pixels outside of the map point at zeros.
  const float* const* read(std::int64_t tile) {
    float* zeros = scratch<float>(ScratchUse::zeros, grid_.channels);
    if (zeros != zeros_) std::fill_n(zeros, grid_.channels, 0.0f);
    zeros_ = zeros;
    locate(tile, 0, zeros);
    return const_cast<const float* const*>(pixels_.data());
  }
  /// Pointers to channel `channel`; pixels outside of the map point at room for `channels` that nobody reads.
  float* const* write(std::int64_t tile, std::int64_t channel, std::int64_t channels) {
    locate(tile, channel, scratch<float>(ScratchUse::block_b, channels));
    return pixels_.data();
  }

 private:
  void locate(std::int64_t tile, std::int64_t channel, float* outside) {
    const TileGrid& g = grid_;
    const std::int64_t image = tile / (g.rows * g.columns), row = tile / g.columns % g.rows;
    const std::int64_t top = row * g.step - g.shift, left = tile % g.columns * g.step - g.shift;
    float* first = const_cast<float*>(g.data) + ((image * g.h + top) * g.w + left) * g.channels + channel;
    float** pixel = pixels_.data();
    for (std::int64_t i = 0; i < g.side; ++i, first += g.w * g.channels) {
      const bool row_inside = top + i >= 0 && top + i < g.h;
      for (std::int64_t j = 0; j < g.side; ++j)
        *pixel++ = row_inside && left + j >= 0 && left + j < g.w ? first + j * g.channels : outside;
    }
  }

  TileGrid grid_;
  std::array<float*, 36> pixels_{};
  float* zeros_ = nullptr;
};

}  // namespace fer::detail
