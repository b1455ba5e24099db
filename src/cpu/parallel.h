// Parallel loops. How a range is cut into blocks depends only on its length. So an element or partial sum
// always belongs to the same block, and results are the same for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fer/error.h"
#include "fer/tensor/tensor.h"

namespace fer::detail {

/// Elements of a block: 64 KiB of floats. That is large enough to outweigh the cost of handing it to a
/// thread, and small enough that data read by a first pass is still in the cache for a second.
inline constexpr std::int64_t kBlock = 16384;

/// Calls body(begin, end) for each block of `grain` in [0, n), on all threads if there is more than one
/// block.
template <typename Body>
void parallel_for(std::int64_t n, std::int64_t grain, const Body& body) {
  const std::int64_t blocks = (n + grain - 1) / grain;
  if (blocks <= 1) {
    if (n > 0) body(std::int64_t{0}, n);
    return;
  }
#pragma omp parallel for schedule(static)
  for (std::int64_t block = 0; block < blocks; ++block) {
    body(block * grain, std::min(n, (block + 1) * grain));
  }
}

/// Like parallel_for, over rows of `width` elements each, in blocks of about kBlock elements.
template <typename Body>
void parallel_rows(std::int64_t rows, std::int64_t width, const Body& body) {
  parallel_for(rows, std::max<std::int64_t>(1, kBlock / std::max<std::int64_t>(1, width)), body);
}

/// Whether stores to an output should bypass the cache: true if it is too large to stay there until it is
/// read again. A normal store would first read the line that it overwrites. Not for outputs that are also
/// inputs.
inline bool stream_stores(const Tensor& y) {
  constexpr std::size_t larger_than_caches = 16 << 20;
  return y.bytes() >= larger_than_caches;
}

/// How rows are cut for a reduction over them: `count` chunks of `size` rows (the last may be shorter). Each
/// chunk is summed on its own, and the sums are added in order, whichever thread computed them.
struct RowChunks {
  std::int64_t rows, size, count;

  RowChunks(std::int64_t rows_, std::int64_t width) : rows(rows_) {
    constexpr std::int64_t max_chunks = 256;
    size = std::max<std::int64_t>(1, kBlock / std::max<std::int64_t>(1, width));
    size = std::max(size, (rows + max_chunks - 1) / max_chunks);
    count = (rows + size - 1) / size;
  }
  std::int64_t begin(std::int64_t chunk) const { return chunk * size; }
  std::int64_t length(std::int64_t chunk) const { return std::min(size, rows - chunk * size); }
};

/// Calls body(chunk) for each chunk, on all threads.
template <typename Body>
void parallel_chunks(const RowChunks& chunks, const Body& body) {
  parallel_for(chunks.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t chunk = begin; chunk < end; ++chunk) body(chunk);
  });
}

/// sums (width) = the sum of the chunks' sums `partial` (chunks x width), added in order.
inline void add_chunks(const RowChunks& chunks, const double* partial, std::int64_t width, double* sums) {
  std::fill(sums, sums + width, 0.0);
  for (std::int64_t chunk = 0; chunk < chunks.count; ++chunk) {
    for (std::int64_t j = 0; j < width; ++j) sums[j] += partial[chunk * width + j];
  }
}

/// Kernels do not check sizes, so this check keeps a wrong size from corrupting memory. Throws ShapeError.
inline void require_size(std::string_view op, std::string_view name, const Tensor& tensor,
                         std::int64_t size) {
  require<ShapeError>(tensor.numel() == size, "[", op, "] ", name, " has shape ", tensor.shape(), ", but ",
                      size, " elements are needed");
}

}  // namespace fer::detail
