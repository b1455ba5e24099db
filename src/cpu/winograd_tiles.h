// The tiles of a batch of image maps and the addresses of their pixels. A side that tiles of 4 do not divide
// ends in one of 2 where that is enough: 14 pixels are 4 + 4 + 4 + 2, evaluated at 6 + 6 + 6 + 4 points
// instead of 24.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "cpu/winograd_kernels.h"

namespace fer::detail {

/// The tiles of one height and width in n maps: `rows` x `columns` of them in each, from an output on.
struct TileKind {
  const TileKernels* kernels;
  std::int64_t n, rows, columns;
  std::int64_t first_row, first_column;

  std::int64_t count() const { return n * rows * columns; }
};

/// The kinds of tiles that cover n maps of h x w outputs with tiles of m (2 or 4), and what is left beside
/// fours with twos. The first kind has all points of the weights.
class Tiling {
 public:
  Tiling(int m, std::int64_t n, std::int64_t h, std::int64_t w);
  const std::vector<TileKind>& kinds() const { return kinds_; }
  /// Points of all tiles together.
  std::int64_t points() const;

 private:
  std::vector<TileKind> kinds_;  // at most 4
};

/// The pixels under the tiles of a kind, of inputs or outputs.
class TilePixels {
 public:
  enum Of { inputs, outputs };
  /// data: n x h x w x channels; a tile's first input lies `padding` before its first output.
  TilePixels(const TileKind& kind, Of what, const float* data, std::int64_t h, std::int64_t w,
             std::int64_t channels, std::int64_t padding = 0);

  /// Pointers, row by row, to channel `channel` of a tile's pixels, or to `outside` where there is none.
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

/// One of `blocks` equal shares of a tiling, and where its tiles stand in the products, of which there is one
/// a point: those that have the point, kind by kind.
class TileBlock {
 public:
  TileBlock(const Tiling& tiling, std::int64_t index, std::int64_t blocks);

  std::int64_t tiles() const { return tiles_; }
  /// Rows of each point's product.
  const std::int64_t* rows() const { return rows_.data(); }

  /// The block's i-th tile as the pixels know it, and its points in a matrix [point: pitch][row: stride].
  struct Place {
    const TileKernels* kernels;
    std::size_t kind;
    std::int64_t tile;
    std::int64_t first;                    ///< where the first point's row begins,
    std::array<std::int64_t, 36> offsets;  ///< and all points' rows behind it
  };
  Place place(std::int64_t i, std::int64_t pitch, std::int64_t stride) const;

 private:
  struct Share {
    const TileKernels* kernels;
    std::int64_t begin, count;
    std::array<std::int64_t, 36> first_row;  // of each of its points
  };
  std::array<Share, 4> shares_;
  std::size_t kinds_ = 0;
  std::array<std::int64_t, 36> rows_{};
  std::int64_t tiles_ = 0;
};

/// The least pitch, in floats, for points of `size` floats each that keeps them from falling into few cache
/// sets: an odd number of cache lines.
inline std::int64_t point_pitch(std::int64_t size) {
  constexpr std::int64_t line = 16;
  return ((size + line - 1) / line | 1) * line;
}

/// A thread's row of zeros.
const float* zero_pixel(std::int64_t channels);

}  // namespace fer::detail
