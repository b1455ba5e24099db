// Winograd's convolution (Winograd 1980; Lavin and Gray 2016) for 3x3 kernels at stride 1, in float32: a tile
// of m x m outputs (m = 4 or 2) costs (m + 2)^2 multiplications per channel pair instead of 9 m^2,
//
//   y = A^T [ (G g G^T) * (B^T d B) ] A,
//
// where d is the (m + 2) x (m + 2) patch of inputs, g the kernel and * elementwise. Summed over channels, the
// elementwise products become (m + 2)^2 matrix products over tiles, which take most of the time. The input
// gradient is the same convolution of dy with kernels rotated by 180 degrees. The weight gradient is the
// adjoint dg = G^T [ sum over tiles of (A dy A^T) * (B^T d B) ] G.
//
// With m = 4, sides that end in 1 or 2 pixels more than a multiple of 4 get tiles of 2 there. Those tiles use
// some of the points of the m = 4 weights (winograd_tiles.h).
#pragma once

#include "cpu/conv2d.h"

namespace fer::detail {

/// The side m of the output tile that is fastest for a forward pass of this shape (and for its input
/// gradient). 0 if the direct convolution is faster or Winograd's does not apply. packed: the weights are
/// already transformed.
int winograd_tile(const ConvShape& s, bool packed = false);
/// Like winograd_tile, for the weight gradient.
int winograd_weight_tile(const ConvShape& s);

/// m: 2 or 4. Channels must be multiples of 8.
void winograd_forward(int m, const ConvShape& s, const float* x, const ConvOperands<float>& operands,
                      float* y);
/// The number of elements of the transformed weights, and the transformation, for winograd_forward.
std::int64_t winograd_packed_size(int m, const ConvShape& s);
void winograd_pack(int m, const ConvShape& s, const float* weight, float* packed);
void winograd_backward_input(int m, const ConvShape& s, const float* dy, const float* weight, float* dx);
void winograd_backward_weight(int m, const ConvShape& s, const float* x, const float* dy, float* dweight);

}  // namespace fer::detail
