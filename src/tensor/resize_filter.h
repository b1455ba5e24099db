// The weights of a bilinear resize along one dimension, to the bit those of Pillow's Image.resize(BILINEAR):
// a triangle filter whose support grows with the shrink factor, coefficients rounded to 22 fractional bits.
// What all devices share, so that they agree in every byte.
#pragma once

#include <cstdint>
#include <vector>

#include "fer/tensor/tensor.h"

namespace fer::detail {

/// For each output position: the first input position that counts, how many do, and their fixed-point
/// weights.
struct ResizeFilter {
  static constexpr int bits = 22;                        ///< fractional ones of a weight
  static constexpr std::int32_t half = 1 << (bits - 1);  ///< added before they are cut off

  int width = 0;  ///< weights an output has room for
  std::vector<std::int32_t> first, count;
  std::vector<std::int32_t> weights;  ///< outputs x width
};

/// input, output: positive extents.
ResizeFilter resize_filter(int input, int output);

/// ShapeError unless images (N x H x W x C) and y (N x H' x W' x C) fit Backend::resize_images.
void check_resize(const Tensor& images, const Tensor& y);

}  // namespace fer::detail
