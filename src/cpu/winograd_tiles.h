// The tiles of a batch of image maps and the addresses of their pixels. If tiles of 4 leave 1 or 2 pixels of
// a side, it ends in a tile of 2: 14 pixels are 4 + 4 + 4 + 2, evaluated at 6 + 6 + 6 + 4 points instead of
// 24.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "cpu/winograd_kernels.h"

namespace fer::detail {

/// The tiles of one height and width in n maps: `rows` x `columns` of them in each map, starting at a given
/// output.
struct TileKind {
  const TileKernels* kernels;
  std::int64_t n, rows, columns;
  std::int64_t first_row, first_column;

  std::int64_t count() const { return n * rows * columns; }
};

/// The kinds of tiles that cover n maps of h x w outputs: tiles of m (2 or 4), and tiles of 2 where tiles of
/// 4 leave 1 or 2 outputs. The first kind uses all points of the weights.
class Tiling {
 public:
  Tiling(int m, std::int64_t n, std::int64_t h, std::int64_t w);
  const std::vector<TileKind>& kinds() const { return kinds_; }
  /// The number of points of all tiles together.
  std::int64_t points() const;

 private:
  std::vector<TileKind> kinds_;  // at most 4
};

/// The input or output pixels under the tiles of a kind.
class TilePixels {
 public:
  enum Of { inputs, outputs };
  /// data: n x h x w x channels. A tile's first input is `padding` before its first output.
  TilePixels(const TileKind& kind, Of what, const float* data, std::int64_t h, std::int64_t w,
             std::int64_t channels, std::int64_t padding = 0);

  /// Pointers, row by row, to channel `channel` of a tile's pixels, or to `outside` for pixels beyond the
  /// map.
  float* const* at(std::int64_t tile, std::int64_t channel, float* outside,
                   std::array<float*, 36>& pixels) const;
  const float* const* at(std::int64_t tile, const float* zeros, std::array<float*, 36>& pixels) const {
    return const_cast<const float* const*>(at(tile, 0, const_cast<float*>(zeros), pixels));
  }

 private:
  const float* data_;
  std::int64_t rows_, columns_, height_, width_, map_pitch_;
  std::vector<std::int64_t> row_offsets_, column_offsets_;  // [tile][side], elements, or -1
};

/// One of `blocks` equal shares of a tiling, and the rows of its tiles in the products. There is one product
/// per point. Its rows are the tiles that have the point, kind by kind.
class TileBlock {
 public:
  TileBlock(const Tiling& tiling, std::int64_t index, std::int64_t blocks);

  std::int64_t tiles() const { return tiles_; }
  /// The number of rows of each point's product.
  const std::int64_t* rows() const { return rows_.data(); }

  /// The block's i-th tile, with its kind and index for TilePixels, and its points in a matrix [point:
  /// pitch][row: stride].
  struct Place {
    const TileKernels* kernels;
    std::size_t kind;
    std::int64_t tile;
    std::int64_t first;                    ///< where the first point's row begins
    std::array<std::int64_t, 36> offsets;  ///< of all points' rows, relative to `first`
  };
  Place place(std::int64_t i, std::int64_t pitch, std::int64_t stride) const;

 private:
  struct Share {
    const TileKernels* kernels;
    std::int64_t begin, count;
    std::array<std::int64_t, 36> first_row;  // for each of the kind's points
  };
  std::array<Share, 4> shares_;
  std::size_t kinds_ = 0;
  std::array<std::int64_t, 36> rows_{};
  std::int64_t tiles_ = 0;
};

/// The smallest pitch, in floats, for points of `size` floats that spreads them over the cache sets: an odd
/// number of cache lines.
inline std::int64_t point_pitch(std::int64_t size) {
  constexpr std::int64_t line = 16;
  return ((size + line - 1) / line | 1) * line;
}

/// A thread's row of zeros.
const float* zero_pixel(std::int64_t channels);

}  // namespace fer::detail
