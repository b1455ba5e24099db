// The transforms of Winograd's convolution, vectorised over channels, for one tile at a time; see winograd.h.
// Compiled once per instruction set. Channel counts are multiples of 8.
#pragma once

#include <cstdint>

namespace fer::detail {

/// Where the transform of a tile goes: point p (of (m + 2)^2) of channel c to
/// data[p * point_pitch + c / width * block_pitch + c % width]; width is a multiple of 16.
struct TransformedTile {
  float* data = nullptr;
  std::int64_t point_pitch = 0, width = 0, block_pitch = 0;
};

/// What follows an output: y = prelu(y + bias, slope) + residual; null is none.
struct TileEpilogue {
  const float *bias = nullptr, *slope = nullptr;  ///< channels
  const float* const* residual = nullptr;         ///< m x m pixels
};

struct WinogradKernels {
  int m;     ///< side of the output tile
  int size;  ///< m + 2: side of the input tile
  /// B^T d B; pixels: size x size, each the first of `channels` elements.
  void (*input)(const float* const* pixels, std::int64_t channels, const TransformedTile& to);
  /// A dy A^T; pixels: m x m.
  void (*gradient)(const float* const* pixels, std::int64_t channels, const TransformedTile& to);
  /// A^T (from) A, finished, to m x m pixels; from[p * point_pitch + c].
  void (*output)(const float* from, std::int64_t point_pitch, std::int64_t channels,
                 const TileEpilogue& epilogue, float* const* pixels);
  /// G g G^T of `count` kernels, g[tap * tap_pitch + i], to u[p * point_pitch + i]; count: a multiple of 8.
  void (*weights)(const float* g, std::int64_t tap_pitch, std::int64_t count, float* u,
                  std::int64_t point_pitch);
  /// G^T s G, s[p * point_pitch + c], to dg[tap * tap_pitch + c].
  void (*weight_gradient)(const float* s, std::int64_t point_pitch, std::int64_t channels, float* dg,
                          std::int64_t tap_pitch);
};

/// m: 2 or 4.
const WinogradKernels& winograd_kernels(int m);

}  // namespace fer::detail
