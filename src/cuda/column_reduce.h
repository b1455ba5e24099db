// Sums over rows, column by column: for sum_to, the gradients of biases, slopes and norms, and batch
// statistics.
//   A block of tx x ty threads sums one chunk of rows of tx neighbouring columns. threadIdx.x runs along
//   columns, so that a warp reads contiguous memory. Each thread adds every ty-th row, in double, and a tree
//   in shared memory adds the ty sums. A second launch of the same kernel adds the chunks.
//   Chunks and trees, and so the order of every sum, depend only on the shape.
//   Floor: the bytes that the terms read; a few additions per element.
#pragma once

#include <cstdint>

#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "cuda/storage.h"

namespace fer::FER_DEVICE_NAMESPACE {

inline constexpr int column_reduce_threads = 256;

/// term(group, row, column, sums) adds the element's terms to double sums[terms].
/// finish(group, chunk, column, sums) receives the sums of a chunk.
template <int terms, typename Term, typename Finish>
__global__ void column_reduce_kernel(Term term, Finish finish, index_t rows, int columns, int column_tiles,
                                     index_t rows_per_chunk) {
  FER_SHARED(double, shared, [terms][column_reduce_threads]);
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int width = static_cast<int>(blockDim.x), height = static_cast<int>(blockDim.y);
  const index_t group = blockIdx.x / static_cast<unsigned>(column_tiles);
  const int column = static_cast<int>(blockIdx.x % static_cast<unsigned>(column_tiles)) * width + tx;
  const index_t first = blockIdx.y * rows_per_chunk;
  const index_t last = gpu::min(rows, first + rows_per_chunk);

  double sums[terms] = {};
  if (column < columns) {
    for (index_t row = first + ty; row < last; row += height) term(group, row, column, sums);
  }
  const int rank = ty * width + tx;
  FER_UNROLL
  for (int t = 0; t < terms; ++t) shared[t][rank] = sums[t];
  for (int half = height / 2; half > 0; half /= 2) {
    __syncthreads();
    if (ty < half) {
      FER_UNROLL
      for (int t = 0; t < terms; ++t) shared[t][rank] += shared[t][rank + half * width];
    }
  }
  if (ty == 0 && column < columns) {
    FER_UNROLL
    for (int t = 0; t < terms; ++t) sums[t] = shared[t][rank];
    finish(group, static_cast<index_t>(blockIdx.y), column, sums);
  }
}

/// The sums of all chunks, from the first launch to the second: groups x chunks x terms x columns.
template <int terms>
struct ChunkSums {
  double* data;
  index_t chunks;
  int columns;

  __device__ __forceinline__ double* at(index_t group, index_t chunk, int column) const {
    return data + (group * chunks + chunk) * terms * columns + column;
  }
};
template <int terms>
struct StoreChunk {
  ChunkSums<terms> to;
  __device__ __forceinline__ void operator()(index_t group, index_t chunk, int column,
                                             const double (&sums)[terms]) const {
    double* p = to.at(group, chunk, column);
    FER_UNROLL
    for (int t = 0; t < terms; ++t) p[static_cast<index_t>(t) * to.columns] = sums[t];
  }
};
template <int terms>
struct AddChunk {
  ChunkSums<terms> from;
  __device__ __forceinline__ void operator()(index_t group, index_t row, int column,
                                             double (&sums)[terms]) const {
    const double* p = from.at(group, row, column);
    FER_UNROLL
    for (int t = 0; t < terms; ++t) sums[t] += p[static_cast<index_t>(t) * from.columns];
  }
};

/// Calls finish(group, 0, column, sums of term over the rows) for each group and column.
template <int terms, typename Term, typename Finish>
void column_reduce(DeviceBackend& owner, gpu::Stream stream, index_t groups, index_t rows, index_t columns,
                   Term term, Finish finish) {
  if (groups == 0 || columns == 0) return;
  int width = 1;
  while (width < 32 && width < columns) width *= 2;
  int height = 1;  // at least a warp, but no more threads than there is work for
  while (width * height < column_reduce_threads && (width * height < 32 || height * 4 < rows)) height *= 2;
  const dim3 block(static_cast<unsigned>(width), static_cast<unsigned>(height));
  const index_t tiles = ceil_div(columns, width);
  constexpr index_t enough_blocks = 132 * 4, most_chunks = 256;
  const index_t worthwhile = ceil_div(rows, index_t{height} * 16);
  const index_t wanted =
      std::clamp<index_t>(ceil_div(enough_blocks, groups * tiles), 1, std::max<index_t>(1, worthwhile));
  const index_t size = ceil_div(std::max<index_t>(rows, 1), std::min(wanted, most_chunks));
  const index_t chunks = std::max<index_t>(1, ceil_div(rows, size));
  const auto grid = [&](index_t chunk_count) {
    return dim3(static_cast<unsigned>(groups * tiles), static_cast<unsigned>(chunk_count));
  };
  const int width_of_all = static_cast<int>(columns), tile_count = static_cast<int>(tiles);
  if (chunks == 1) {
    gpu::launch(column_reduce_kernel<terms, Term, Finish>, grid(1), block, 0, stream, term, finish, rows,
                width_of_all, tile_count, size);
    return;
  }
  const DeviceArray<double> partial(owner, groups * chunks * terms * columns);
  const ChunkSums<terms> sums{partial.data(), chunks, width_of_all};
  gpu::launch(column_reduce_kernel<terms, Term, StoreChunk<terms>>, grid(chunks), block, 0, stream, term,
              StoreChunk<terms>{sums}, rows, width_of_all, tile_count, size);
  gpu::launch(column_reduce_kernel<terms, AddChunk<terms>, Finish>, grid(1), block, 0, stream,
              AddChunk<terms>{sums}, finish, chunks, width_of_all, tile_count, chunks);
}

/// Writes the column's sum as S: the usual `finish` of a gradient.
template <typename S>
struct StoreSum {
  S* y;
  index_t columns;
  __device__ __forceinline__ void operator()(index_t group, index_t, int column,
                                             const double (&sums)[1]) const {
    y[group * columns + column] = narrow<S>(static_cast<Wide<S>>(sums[0]));
  }
};

}  // namespace fer::FER_DEVICE_NAMESPACE
