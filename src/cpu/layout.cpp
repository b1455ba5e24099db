// Moves elements without changing them: permute, slice, paste, for any element type (only its size matters).
// A permutation first merges dimensions that stay neighbours. If the innermost stays innermost, rows are
// copied. Otherwise the permutation is a transpose of two dimensions, repeated over the others. It works on
// square tiles, so that reads and writes both use whole cache lines. NCHW <-> NHWC is one such case.
#include <cstring>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"
#include "tensor/merged_dims.h"
#include "tensor/operand_checks.h"

namespace fer {
namespace {

constexpr std::int64_t tile = 32;

// The offsets of element number `index`, counted over dimensions 1 and up except `skip`.
void offsets(const PermutedDims& walk, int skip, std::int64_t index, std::int64_t& x, std::int64_t& y) {
  x = y = 0;
  for (int i = 1; i < walk.rank; ++i) {
    if (i == skip) continue;
    const std::int64_t at = index % walk.extent[i];
    index /= walk.extent[i];
    x += at * walk.x_stride[i];
    y += at * walk.y_stride[i];
  }
}

// y (rows x columns, y_row apart) = transpose of x (columns x rows, x_row apart).
template <typename Word>
void transpose_tile(const Word* x, std::int64_t x_row, Word* y, std::int64_t y_row, std::int64_t rows,
                    std::int64_t columns) {
  if (rows == tile && columns == tile) {  // with constant extents the compiler unrolls
    for (std::int64_t i = 0; i < tile; ++i) {
      for (std::int64_t j = 0; j < tile; ++j) y[i * y_row + j] = x[j * x_row + i];
    }
    return;
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) y[i * y_row + j] = x[j * x_row + i];
  }
}

template <typename Word>
void permute_words(const Word* x, Word* y, const PermutedDims& walk, std::int64_t total) {
  const std::int64_t inner = walk.extent[0];
  if (walk.x_stride[0] == 1) {
    detail::parallel_rows(total / inner, inner, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        std::int64_t from, to;
        offsets(walk, 0, row, from, to);
        std::copy_n(x + from, inner, y + to);
      }
    });
    return;
  }
  int across = 1;  // the dimension of y along which x is contiguous
  while (walk.x_stride[across] != 1) ++across;
  const std::int64_t outer = walk.extent[across], planes = total / (inner * outer);
  const std::int64_t strips = (outer + tile - 1) / tile;
  detail::parallel_rows(planes * strips, tile * inner, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t i = task % strips * tile, rows = std::min(tile, outer - i);
      std::int64_t from, to;
      offsets(walk, across, task / strips, from, to);
      for (std::int64_t j = 0; j < inner; j += tile) {
        transpose_tile(x + from + i + j * walk.x_stride[0], walk.x_stride[0],
                       y + to + j + i * walk.y_stride[across], walk.y_stride[across], rows,
                       std::min(tile, inner - j));
      }
    }
  });
}

// Copies `count` runs of `bytes` bytes.
void copy_runs(const char* from, std::int64_t from_pitch, char* to, std::int64_t to_pitch, std::int64_t count,
               std::int64_t bytes) {
  constexpr std::int64_t piece = 1 << 18;
  const std::int64_t pieces = (bytes + piece - 1) / piece;  // so that the threads can share one long run too
  detail::parallel_rows(count * pieces, std::min(bytes, piece) / 4,
                        [&](std::int64_t begin, std::int64_t end) {
                          for (std::int64_t i = begin; i < end; ++i) {
                            const std::int64_t run = i / pieces, at = i % pieces * piece;
                            std::memcpy(to + run * to_pitch + at, from + run * from_pitch + at,
                                        static_cast<std::size_t>(std::min(piece, bytes - at)));
                          }
                        });
}

// A tensor viewed as outer x dim x inner, in bytes.
struct View {
  std::int64_t outer = 1, run;  // run: bytes of one index of `dim`
  View(const Shape& shape, int dim, std::size_t element) : run(static_cast<std::int64_t>(element)) {
    for (int i = 0; i < dim; ++i) outer *= shape[i];
    for (int i = dim + 1; i < shape.rank(); ++i) run *= shape[i];
  }
};

}  // namespace

void CpuBackend::permute(const Tensor& x, std::span<const int> order, Tensor& y) {
  check_permutation(x, order, y);
  if (x.numel() == 0) return;
  const PermutedDims walk = merge_permuted(x.shape(), order);
  if (walk.rank <= 1) return copy(x, y);
  const auto run = [&]<typename Word>(Word) {
    permute_words(static_cast<const Word*>(x.raw()), static_cast<Word*>(y.mutable_raw()), walk, x.numel());
  };
  switch (size_of(x.dtype())) {
    case 1:
      return run(std::uint8_t{});
    case 2:
      return run(std::uint16_t{});
    case 4:
      return run(std::uint32_t{});
    default:
      return run(std::uint64_t{});
  }
}

void CpuBackend::slice(const Tensor& x, int dim, std::int64_t start, Tensor& y) {
  check_part("slice", y, x, dim, start);
  if (y.numel() == 0) return;
  const View view(x.shape(), dim, size_of(x.dtype()));
  copy_runs(static_cast<const char*>(x.raw()) + start * view.run, x.dim(dim) * view.run,
            static_cast<char*>(y.mutable_raw()), y.dim(dim) * view.run, view.outer, y.dim(dim) * view.run);
}

void CpuBackend::paste(const Tensor& x, int dim, std::int64_t start, Tensor& y) {
  check_part("paste", x, y, dim, start);
  if (x.numel() == 0) return;
  const View view(y.shape(), dim, size_of(x.dtype()));
  copy_runs(static_cast<const char*>(x.raw()), x.dim(dim) * view.run,
            static_cast<char*>(y.mutable_raw()) + start * view.run, y.dim(dim) * view.run, view.outer,
            x.dim(dim) * view.run);
}

}  // namespace fer
