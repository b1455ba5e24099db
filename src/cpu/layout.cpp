// Moving elements without changing them: permute, slice, paste, for any element type (only its size matters).
// A permutation first merges dimensions that stay neighbours. If the innermost stays innermost, rows are
// copied; otherwise it is a transposition of some two dimensions, repeated over the others, and goes by
// square tiles so that reads and writes both use whole cache lines. NCHW <-> NHWC is one such case.
#include <array>
#include <cstring>

#include "cpu/cpu_backend.h"
#include "cpu/parallel.h"

namespace fer {
namespace {

constexpr std::int64_t tile = 32;

// The dimensions of y, innermost first, with the stride by which x advances along each.
struct Walk {
  int rank = 0;
  std::array<std::int64_t, Shape::max_rank> extent{}, x_stride{}, y_stride{};
};

Walk plan_permutation(const Shape& x, std::span<const int> order) {
  std::array<std::int64_t, Shape::max_rank> strides{};
  std::int64_t stride = 1;
  for (int i = x.rank() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= x[i];
  }
  Walk walk;
  std::int64_t y_stride = 1;
  for (int i = x.rank() - 1; i >= 0; --i) {
    const std::int64_t n = x[order[i]], x_stride = strides[order[i]];
    if (n == 1) continue;
    const int last = walk.rank - 1;
    if (last >= 0 && x_stride == walk.x_stride[last] * walk.extent[last]) {
      walk.extent[last] *= n;
    } else {
      walk.extent[walk.rank] = n;
      walk.x_stride[walk.rank] = x_stride;
      walk.y_stride[walk.rank] = y_stride;
      ++walk.rank;
    }
    y_stride *= n;
  }
  return walk;
}

// Offsets of element number `index` of the dimensions from 1 on that are not `skip`.
void offsets(const Walk& walk, int skip, std::int64_t index, std::int64_t& x, std::int64_t& y) {
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
  if (rows == tile && columns == tile) {  // known extents let the compiler unroll
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
void permute_words(const Word* x, Word* y, const Walk& walk, std::int64_t total) {
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
  const std::int64_t pieces =
      (bytes + piece - 1) / piece;  // so that one long run is shared by the threads too
  detail::parallel_rows(count * pieces, std::min(bytes, piece) / 4,
                        [&](std::int64_t begin, std::int64_t end) {
                          for (std::int64_t i = begin; i < end; ++i) {
                            const std::int64_t run = i / pieces, at = i % pieces * piece;
                            std::memcpy(to + run * to_pitch + at, from + run * from_pitch + at,
                                        static_cast<std::size_t>(std::min(piece, bytes - at)));
                          }
                        });
}

// A tensor seen as outer x dim x inner, in bytes.
struct View {
  std::int64_t outer = 1, run;  // run: bytes of one index of `dim`
  View(const Shape& shape, int dim, std::size_t element) : run(static_cast<std::int64_t>(element)) {
    for (int i = 0; i < dim; ++i) outer *= shape[i];
    for (int i = dim + 1; i < shape.rank(); ++i) run *= shape[i];
  }
};

// `part` must be a range of `whole` along `dim`.
void check_part(std::string_view op, const Tensor& part, const Tensor& whole, int dim, std::int64_t start) {
  bool ok = part.dtype() == whole.dtype() && part.rank() == whole.rank() && dim >= 0 && dim < whole.rank();
  for (int i = 0; ok && i < whole.rank(); ++i) {
    ok = i == dim ? start >= 0 && start + part.dim(i) <= whole.dim(i) : part.dim(i) == whole.dim(i);
  }
  require<ShapeError>(ok, "[", op, "] ", part.dtype(), " ", part.shape(), " is no part of ", whole.dtype(),
                      " ", whole.shape(), " along dimension ", dim, " from ", start);
}

}  // namespace

void CpuBackend::permute(const Tensor& x, std::span<const int> order, Tensor& y) {
  bool ok = static_cast<int>(order.size()) == x.rank() && y.rank() == x.rank() && y.dtype() == x.dtype();
  for (int i = 0, seen = 0; ok && i < x.rank(); ++i) {
    ok = order[i] >= 0 && order[i] < x.rank() && !(seen >> order[i] & 1) && y.dim(i) == x.dim(order[i]);
    seen |= 1 << order[i];
  }
  require<ShapeError>(ok, "[permute] ", y.dtype(), " ", y.shape(), " is no such permutation of ", x.dtype(),
                      " ", x.shape());
  if (x.numel() == 0) return;
  const Walk walk = plan_permutation(x.shape(), order);
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
