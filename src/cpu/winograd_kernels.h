// The transforms of Winograd's convolution (see winograd.h), one tile at a time, vectorised over channels.
// Compiled once per instruction set. Channel counts are multiples of 8.
#pragma once

#include <array>
#include <cstdint>

namespace fer::detail {

/// A side of a tile: its number of outputs, and the points at which its polynomials are evaluated.
enum class Side {
  two,   ///< 2 outputs, 4 points
  four,  ///< 4 outputs, 6 points
  rest   ///< 2 outputs, 4 of the points of `four`, with the weights of `four`: the remainder of a side
};

constexpr int outputs_of(Side side) {
  return side == Side::four ? 4 : 2;
}
/// The number of inputs, which is also the number of points.
constexpr int size_of(Side side) {
  return outputs_of(side) + 2;
}

/// Addresses of a tile's points: point k is at data[k * pitch] for `two` by `two` and `four` by `four`, and
/// at data[offsets[k]] for tiles that use only some points of their weights.
template <typename T>
struct TilePoints {
  T* data = nullptr;
  std::int64_t pitch = 0;
  const std::int64_t* offsets = nullptr;
};

/// The destination of a tile's transform: channel c of a point goes to offset
/// c / width * block_pitch + c % width from the point's first element. width is a multiple of 16.
struct TransformedTile {
  TilePoints<float> points;
  std::int64_t width = 0, block_pitch = 0;
};

/// What is applied to an output: y = prelu(y + bias, slope) + residual. A null pointer leaves its part out.
struct TileEpilogue {
  const float *bias = nullptr, *slope = nullptr;  ///< channels
  const float* const* residual = nullptr;         ///< a tile's pixels
};

/// The transforms of tiles of one height and width. Pixels and points are numbered row by row.
struct TileKernels {
  Side height, width;
  std::array<std::int8_t, 36> points;  ///< each point's index among the points of the weights

  int point_count() const { return size_of(height) * size_of(width); }
  /// B^T d B; pixels: a tile's inputs, each the first of `channels` elements.
  void (*input)(const float* const* pixels, std::int64_t channels, const TransformedTile& to);
  /// A dy A^T; pixels: a tile's outputs.
  void (*gradient)(const float* const* pixels, std::int64_t channels, const TransformedTile& to);
  /// A^T (from) A, then the epilogue, written to a tile's pixels.
  void (*output)(const TilePoints<const float>& from, std::int64_t channels, const TileEpilogue& epilogue,
                 float* const* pixels);
};

/// The transforms of weights, for square tiles and for the tiles that use the same points.
struct WeightKernels {
  /// G g G^T of `count` kernels, from g[tap * tap_pitch + i] to u[p * point_pitch + i]; count: a multiple of
  /// 8.
  void (*weights)(const float* g, std::int64_t tap_pitch, std::int64_t count, float* u,
                  std::int64_t point_pitch);
  /// G^T s G, from s[p * point_pitch + c] to dg[tap * tap_pitch + c].
  void (*weight_gradient)(const float* s, std::int64_t point_pitch, std::int64_t channels, float* dg,
                          std::int64_t tap_pitch);
};

/// Either both sides or neither are `two`.
const TileKernels& tile_kernels(Side height, Side width);
/// m: 2 or 4.
const WeightKernels& weight_kernels(int m);

}  // namespace fer::detail
