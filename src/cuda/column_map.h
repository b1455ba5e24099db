// Elementwise maps of rows x C with constants per channel: PReLU and batch norm. threadIdx.x runs along
// channels, so that a warp reads and writes contiguous memory and a thread keeps its channel's constants in
// registers. A thread walks down the rows four at a time, so that four loads are in flight before the first
// is used. Floor: the bytes of inputs and output.
#pragma once

#include <cstdint>

#include "cuda/op_support.h"

namespace fer::FER_DEVICE_NAMESPACE {

/// op.channel(c) returns the constants of channel c, op.load(i) the inputs of element i.
/// op.store(constants, i, inputs) writes element i.
template <typename Op>
__global__ void column_map_kernel(Op op, index_t rows, int columns, int column_tiles,
                                  index_t rows_per_block) {
  const int column =
      static_cast<int>((blockIdx.x % static_cast<unsigned>(column_tiles)) * blockDim.x + threadIdx.x);
  if (column >= columns) return;
  const auto channel = op.channel(column);
  const index_t first = blockIdx.x / static_cast<unsigned>(column_tiles) * rows_per_block;
  const index_t last = gpu::min(rows, first + rows_per_block);
  const index_t step = blockDim.y;
  index_t row = first + threadIdx.y;
  constexpr int batch = 4;
  for (; row + (batch - 1) * step < last; row += batch * step) {
    decltype(op.load(index_t{0})) loaded[batch];
    FER_UNROLL
    for (int j = 0; j < batch; ++j) loaded[j] = op.load((row + j * step) * columns + column);
    FER_UNROLL
    for (int j = 0; j < batch; ++j) op.store(channel, (row + j * step) * columns + column, loaded[j]);
  }
  for (; row < last; row += step) {
    const index_t i = row * columns + column;
    op.store(channel, i, op.load(i));
  }
}

template <typename Op>
void column_map(gpu::Stream stream, index_t rows, index_t columns, Op op) {
  if (rows == 0 || columns == 0) return;
  int width = 1;
  while (width < 32 && width < columns) width *= 2;
  const int height = 256 / width;
  const index_t tiles = ceil_div(columns, width), rows_per_block = index_t{height} * 16;
  gpu::launch(column_map_kernel<Op>, dim3(static_cast<unsigned>(tiles * ceil_div(rows, rows_per_block))),
              dim3(static_cast<unsigned>(width), static_cast<unsigned>(height)), 0, stream, op, rows,
              static_cast<int>(columns), static_cast<int>(tiles), rows_per_block);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
