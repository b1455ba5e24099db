// The weights of a bilinear resize along one dimension, bit-identical to Pillow's Image.resize(BILINEAR): a
// triangle filter whose support grows with the shrink factor, coefficients rounded to 22 fractional bits. All
// devices share them, so they agree in every byte.
#pragma once

#include <cstdint>
#include <vector>

#include "fer/tensor/tensor.h"

namespace fer::detail {

/// For each output position: the first input position that contributes, how many do, and their fixed-point
/// weights.
struct ResizeFilter {
  static constexpr int bits = 22;                        ///< fractional bits of a weight
  static constexpr std::int32_t half = 1 << (bits - 1);  ///< added before the fractional bits are cut off

  int width = 0;  ///< weights allocated per output
  std::vector<std::int32_t> first, count;
  std::vector<std::int32_t> weights;  ///< outputs x width
};

/// Both extents are positive.
ResizeFilter resize_filter(int input, int output);

/// ShapeError unless images (N x H x W x C) and y (N x H' x W' x C) fit Backend::resize_images.
void check_resize(const Tensor& images, const Tensor& y);

}  // namespace fer::detail
