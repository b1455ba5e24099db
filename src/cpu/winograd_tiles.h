// The tiles of a batch of image maps and the addresses of their pixels. Maps whose sides are no multiple of
// the tile are laid out as a mosaic, one pixel of padding between neighbours, so that tiles run on from one
// map into the next: sixteen maps of 14 x 14 in four rows are 225 tiles of 4 x 4 instead of 256.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace fer::detail {

/// How the maps of a batch are laid out: `down` x `across` of them, n in all, whose outputs begin `period_h`
/// rows and `period_w` columns apart.
struct Mosaic {
  std::int64_t down, across, period_h, period_w;
  std::int64_t rows, columns;  ///< tiles

  std::int64_t tiles() const { return rows * columns; }
  /// The layout with the fewest tiles of m x m for n maps of h x w outputs, each convolved with a 3x3 kernel.
  static Mosaic best(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t m, std::int64_t padding);
};

/// The pixels under the tiles of a mosaic: side x side of them, the first `shift` before the tile's first
/// output.
class TilePixels {
 public:
  /// data: n x h x w x channels; the tiles' outputs lie `step` apart.
  TilePixels(const Mosaic& mosaic, const float* data, std::int64_t h, std::int64_t w, std::int64_t channels,
             std::int64_t side, std::int64_t step, std::int64_t shift);

  /// Pointers, row by row, to channel `channel` of a tile's pixels, or to `outside` where there is none.
  float* const* at(std::int64_t tile, std::int64_t channel, float* outside,
                   std::array<float*, 36>& pixels) const;
  const float* const* at(std::int64_t tile, const float* zeros, std::array<float*, 36>& pixels) const {
    return const_cast<const float* const*>(at(tile, 0, const_cast<float*>(zeros), pixels));
  }

 private:
  const float* data_;
  std::int64_t columns_, side_;
  std::vector<std::int64_t> row_offsets_, column_offsets_;  // [tile][side], elements, or -1
};

/// A thread's row of zeros.
const float* zero_pixel(std::int64_t channels);

}  // namespace fer::detail
