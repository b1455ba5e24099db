// Drivers of the product kernels: how a product is cut into blocks, packed and shared among threads.
#include "cpu/gemm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/scratch.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

constexpr std::int64_t kBlockRows = 210;            // rows of A in a block of C, at most
constexpr std::int64_t kBlockElements = 160 << 10;  // elements of A in a block: fits the second-level cache
constexpr std::int64_t kBlockColumns = 1024;        // columns of C that a task covers
constexpr std::int64_t kLongRows = 256, kLongColumns = 576;  // of C in a task of a long product
constexpr std::int64_t kLongDepth = 320;                     // of K in one pass, whose operands are packed
// Enough work for every thread; a constant, so that results do not depend on the thread count.
constexpr std::int64_t kWantedTasks = 16;
constexpr std::size_t kMostPackedBytes = std::size_t{64} << 20;

// Packs `rows` rows of a, from `row` on, into panels [tile][k][mr], with zeros beyond a's last row.
template <typename T>
void pack_a(const MatrixRef<T>& a, std::int64_t row, std::int64_t rows, std::int64_t k0, std::int64_t depth,
            std::int64_t mr, T* packed) {
  for (std::int64_t tile = 0; tile < rows; tile += mr, packed += depth * mr) {
    const std::int64_t valid = std::min(mr, rows - tile);
    const T* source = a.data + (row + tile) * a.row_stride + k0 * a.col_stride;
    if (a.row_stride == 1 && valid == mr) {
      product_kernels<T>().copy_tile(source, a.col_stride, depth, packed);
      continue;
    }
    for (std::int64_t k = 0; k < depth; ++k, source += a.col_stride) {
      T* target = packed + k * mr;
      for (std::int64_t i = 0; i < valid; ++i) target[i] = source[i * a.row_stride];
      for (std::int64_t i = valid; i < mr; ++i) target[i] = T(0);
    }
  }
}

struct Blocks {
  std::int64_t rows, columns;  // of a block
  std::int64_t row_blocks, column_blocks;
  std::int64_t count() const { return row_blocks * column_blocks; }
};

Blocks cut(std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k, std::int64_t mr,
           std::int64_t nr) {
  const std::int64_t depth = std::max<std::int64_t>(1, even_split(k, kPanelDepth));
  std::int64_t rows = round_up(even_split(m, std::clamp(kBlockElements / depth, mr, kBlockRows)), mr);
  std::int64_t columns = round_up(even_split(n, kBlockColumns), nr);
  const auto tasks = [&] { return batch * ceil_div(m, rows) * ceil_div(n, columns); };
  while (tasks() < kWantedTasks && columns > 4 * nr) columns = round_up(columns / 2, nr);
  while (tasks() < kWantedTasks && rows > 2 * mr) rows = round_up(rows / 2, mr);
  return {rows, columns, ceil_div(m, rows), ceil_div(n, columns)};
}

// Rows whose stride is a multiple of 2 KiB map to the same few sets of the first-level cache, so the rows of
// a tile evict each other.
template <typename T>
bool rows_collide(const MatrixRef<T>& a) {
  return a.row_stride * sizeof(T) % 2048 == 0;
}

// Computes one block of C over the whole of K.
template <typename T>
void block_of_c(const MatrixRef<T>& a, const T* packed_b, T* c, std::int64_t c_stride,
                const Epilogue<T>& epilogue, std::int64_t row, std::int64_t rows, std::int64_t column,
                std::int64_t columns) {
  const ProductKernels<T>& kernels = product_kernels<T>();
  const std::int64_t depth = even_split(a.cols, kPanelDepth);
  const bool in_place = a.col_stride == 1;
  auto** c_rows = scratch<T*>(ScratchUse::pointers, 2 * rows);
  auto** residual_rows = const_cast<const T**>(c_rows + rows);
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t at = (row + i) * c_stride + column;
    c_rows[i] = c + at;
    residual_rows[i] = epilogue.residual ? epilogue.residual + at : nullptr;
  }
  const bool moved = in_place && rows_collide(a);
  const std::int64_t pitch = moved ? depth + 64 / static_cast<std::int64_t>(sizeof(T)) : depth;
  T* copy =
      in_place && !moved ? nullptr : scratch<T>(ScratchUse::block_a, round_up(rows, kernels.mr) * pitch);
  for (std::int64_t k0 = 0; k0 < a.cols; k0 += depth) {
    BlockProduct<T> block;
    block.rows = rows;
    block.n = columns;
    block.segment_k = std::min(depth, a.cols - k0);
    if (in_place) {
      block.a = a.data + row * a.row_stride + k0;
      block.a_stride = a.row_stride;
      if (moved) {
        for (std::int64_t i = 0; i < rows; ++i)
          std::copy_n(block.a + i * block.a_stride, block.segment_k, copy + i * pitch);
        block.a = copy;
        block.a_stride = pitch;
      }
    } else {
      pack_a(a, row, rows, k0, block.segment_k, kernels.mr, copy);
      block.a_panels = copy;
      block.a_panel_pitch = block.segment_k * kernels.mr;
    }
    block.b = packed_b + column * a.cols + k0 * kernels.nr;  // panel (column / nr) of K * nr elements
    block.b_panel_pitch = a.cols * kernels.nr;
    block.c_rows = c_rows;
    block.accumulate = k0 > 0;
    if (k0 + depth >= a.cols) {
      block.bias = epilogue.bias ? epilogue.bias + column : nullptr;
      block.slope = epilogue.slope ? epilogue.slope + column : nullptr;
      block.residual_rows = epilogue.residual ? residual_rows : nullptr;
    }
    kernels.block_product(block);
  }
}

template <typename T>
void fill_rows(T* c, std::int64_t rows, std::int64_t columns, std::int64_t stride, const T* bias) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) c[i * stride + j] = bias ? bias[j] : T(0);
}

// Computes the products of a batch with packed B, one after the other. Every thread of a parallel region must
// call it.
template <typename T>
void share_products(const Blocks& blocks, std::int64_t batch, const MatrixRef<T>& a, std::int64_t a_pitch,
                    const T* packed, std::int64_t n, T* c, std::int64_t c_stride, std::int64_t c_pitch,
                    const Epilogue<T>& epilogue) {
  const std::int64_t packed_pitch = packed_size<T>(a.cols, n);
#pragma omp for schedule(dynamic)
  for (std::int64_t task = 0; task < batch * blocks.count(); ++task) {
    const std::int64_t item = task / blocks.count();
    const std::int64_t row = task % blocks.count() / blocks.column_blocks * blocks.rows;
    const std::int64_t column = task % blocks.column_blocks * blocks.columns;
    MatrixRef<T> source = a;
    source.data += item * a_pitch;
    block_of_c(source, packed + item * packed_pitch, c + item * c_pitch, c_stride, epilogue, row,
               std::min(blocks.rows, a.rows - row), column, std::min(blocks.columns, n - column));
  }
}

template <typename T>
void batch_of_products(std::int64_t batch, const MatrixRef<T>& a, std::int64_t a_pitch, const MatrixRef<T>& b,
                       std::int64_t b_pitch, T* c, std::int64_t c_stride, std::int64_t c_pitch,
                       const T* bias) {
  const ProductKernels<T>& kernels = product_kernels<T>();
  const std::int64_t n = b.cols, panels = ceil_div(n, kernels.nr), panel_size = a.cols * kernels.nr;
  T* packed = scratch<T>(ScratchUse::packed_b, batch * panels * panel_size);
  const Blocks blocks = cut(batch, a.rows, n, a.cols, kernels.mr, kernels.nr);
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < batch * panels; ++i) {
      MatrixRef<T> source = b;
      source.data += i / panels * b_pitch;
      pack_panel(source, i % panels, packed + i * panel_size);
    }
    share_products(blocks, batch, a, a_pitch, packed, n, c, c_stride, c_pitch,
                   Epilogue<T>{bias, nullptr, nullptr});
  }
}

// The number of pieces of K, each summed on its own: enough to give all threads work, but limited so that the
// partial results do not cost more than the products.
std::int64_t pieces_of_k(std::int64_t k, std::int64_t result_size, std::int64_t result_blocks) {
  std::int64_t pieces = 1;
  while (pieces * result_blocks < kWantedTasks && 2 * pieces * result_size <= (std::int64_t{1} << 20) &&
         k / (2 * pieces) >= 2 * kLongDepth)
    pieces *= 2;
  return pieces;
}

// The block of C at (row, column), summed over [begin, end) of K.
template <typename T>
void long_block(const LongProduct<T>& p, std::int64_t begin, std::int64_t end, std::int64_t row,
                std::int64_t rows, std::int64_t column, std::int64_t columns, T* c, std::int64_t c_stride) {
  const ProductKernels<T>& kernels = product_kernels<T>();
  const MatrixRef<T> a{p.a, p.m, p.k, 1, p.a_stride};
  c += row * c_stride + column;
  if (begin == end) return fill_rows<T>(c, rows, columns, c_stride, nullptr);
  const std::int64_t depth = even_split(end - begin, kLongDepth);
  auto** c_rows = scratch<T*>(ScratchUse::pointers, rows);
  T* panels_a = scratch<T>(ScratchUse::block_a, round_up(rows, kernels.mr) * depth);
  T* panel_b = scratch<T>(ScratchUse::block_b, depth * kernels.nr);
  for (std::int64_t k0 = begin; k0 < end; k0 += depth) {
    BlockProduct<T> block;
    block.rows = rows;
    block.segment_k = std::min(depth, end - k0);
    pack_a(a, row, rows, k0, block.segment_k, kernels.mr, panels_a);
    block.a_panels = panels_a;
    block.a_panel_pitch = block.segment_k * kernels.mr;
    block.b = panel_b;
    block.c_rows = c_rows;
    block.accumulate = k0 > begin;
    for (std::int64_t j = 0; j < columns; j += kernels.nr) {
      p.pack_b(k0, block.segment_k, column + j, panel_b);
      for (std::int64_t i = 0; i < rows; ++i) c_rows[i] = c + i * c_stride + j;
      block.n = std::min<std::int64_t>(kernels.nr, columns - j);
      kernels.block_product(block);
    }
  }
}

}  // namespace

template <typename T>
void pack_panel(const MatrixRef<T>& b, std::int64_t panel, T* packed) {
  const std::int64_t nr = product_kernels<T>().nr, column = panel * nr;
  const std::int64_t valid = std::min(nr, b.cols - column);
  const T* source = b.data + column * b.col_stride;
  if (b.col_stride == 1 && valid == nr)
    return product_kernels<T>().copy_panel(source, b.row_stride, b.rows, packed);
  if (b.row_stride == 1 && valid == nr)
    return product_kernels<T>().transpose_panel(source, b.col_stride, b.rows, packed);
  if (valid < nr) std::memset(packed, 0, static_cast<std::size_t>(b.rows * nr) * sizeof(T));
  if (b.col_stride == 1) {
    for (std::int64_t k = 0; k < b.rows; ++k)
      std::memcpy(packed + k * nr, source + k * b.row_stride, static_cast<std::size_t>(valid) * sizeof(T));
    return;
  }
  constexpr std::int64_t strip = 64;  // rows of k: their part of the panel fits in the first-level cache
  for (std::int64_t k0 = 0; k0 < b.rows; k0 += strip) {
    const std::int64_t end = std::min(b.rows, k0 + strip);
    for (std::int64_t j = 0; j < valid; ++j)
      for (std::int64_t k = k0; k < end; ++k)
        packed[k * nr + j] = source[k * b.row_stride + j * b.col_stride];
  }
}

template <typename T>
void gemm_batched(std::int64_t batch, const MatrixRef<T>& a, std::int64_t a_pitch, const MatrixRef<T>& b,
                  std::int64_t b_pitch, T* c, std::int64_t c_stride, std::int64_t c_pitch) {
  if (batch == 0 || a.rows == 0 || b.cols == 0) return;
  if (a.cols == 0) {
    for (std::int64_t i = 0; i < batch; ++i) fill_rows<T>(c + i * c_pitch, a.rows, b.cols, c_stride, nullptr);
    return;
  }
  const std::size_t bytes = static_cast<std::size_t>(b.rows * (b.cols + product_kernels<T>().nr)) * sizeof(T);
  const auto group = std::max<std::int64_t>(1, static_cast<std::int64_t>(kMostPackedBytes / bytes));
  for (std::int64_t first = 0; first < batch; first += group) {
    MatrixRef<T> group_a = a, group_b = b;
    group_a.data += first * a_pitch;
    group_b.data += first * b_pitch;
    batch_of_products<T>(std::min(group, batch - first), group_a, a_pitch, group_b, b_pitch,
                         c + first * c_pitch, c_stride, c_pitch, nullptr);
  }
}

template <typename T>
void gemm(const MatrixRef<T>& a, const MatrixRef<T>& b, T* c, std::int64_t c_stride, const T* bias) {
  if (a.rows == 0 || b.cols == 0) return;
  if (a.cols == 0) return fill_rows(c, a.rows, b.cols, c_stride, bias);
  batch_of_products<T>(1, a, 0, b, 0, c, c_stride, 0, bias);
}

template <typename T>
std::int64_t packed_size(std::int64_t k, std::int64_t n) {
  return k * round_up(n, product_kernels<T>().nr);
}

template <typename T>
void pack(const MatrixRef<T>& b, T* packed) {
  const std::int64_t nr = product_kernels<T>().nr, panels = ceil_div(b.cols, nr);
#pragma omp parallel for schedule(static)
  for (std::int64_t panel = 0; panel < panels; ++panel) pack_panel(b, panel, packed + panel * b.rows * nr);
}

template <typename T>
void gemm_packed(const MatrixRef<T>& a, const T* packed_b, std::int64_t n, T* c, std::int64_t c_stride,
                 const Epilogue<T>& epilogue) {
  if (a.rows == 0 || n == 0) return;
  require<ShapeError>(a.cols > 0, "[gemm_packed] there is nothing to sum over");
  const Blocks blocks = cut(1, a.rows, n, a.cols, product_kernels<T>().mr, product_kernels<T>().nr);
#pragma omp parallel
  share_products<T>(blocks, 1, a, 0, packed_b, n, c, c_stride, 0, epilogue);
}

template <typename T>
void long_product(const LongProduct<T>& p) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) return fill_rows<T>(p.c, p.m, p.n, p.c_stride, nullptr);
  const std::int64_t nr = product_kernels<T>().nr, mr = product_kernels<T>().mr;
  const std::int64_t rows = round_up(even_split(p.m, kLongRows), mr);
  const std::int64_t columns = round_up(even_split(p.n, kLongColumns), nr);
  const std::int64_t row_blocks = ceil_div(p.m, rows), column_blocks = ceil_div(p.n, columns);
  const std::int64_t pieces = pieces_of_k(p.k, p.m * p.n, row_blocks * column_blocks);
  const std::int64_t piece = ceil_div(p.k, pieces);
  T* partials = pieces > 1 ? scratch<T>(ScratchUse::partials, pieces * p.m * p.n) : nullptr;
#pragma omp parallel
  {
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < pieces * row_blocks * column_blocks; ++task) {
      const std::int64_t part = task / (row_blocks * column_blocks);
      const std::int64_t row = task / column_blocks % row_blocks * rows,
                         column = task % column_blocks * columns;
      const std::int64_t begin = std::min(p.k, part * piece), end = std::min(p.k, begin + piece);
      T* c = partials ? partials + part * p.m * p.n : p.c;
      long_block(p, begin, end, row, std::min(rows, p.m - row), column, std::min(columns, p.n - column), c,
                 partials ? p.n : p.c_stride);
    }
    if (partials) {
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < p.m; ++i) {
        T* c = p.c + i * p.c_stride;
        std::memcpy(c, partials + i * p.n, static_cast<std::size_t>(p.n) * sizeof(T));
        for (std::int64_t part = 1; part < pieces; ++part) {
          const T* source = partials + (part * p.m + i) * p.n;
          for (std::int64_t j = 0; j < p.n; ++j) c[j] += source[j];
        }
      }
    }
  }
}

template <typename T>
void product_over_rows(const MatrixRef<T>& a, const MatrixRef<T>& b, T* c, std::int64_t c_stride) {
  const std::int64_t nr = product_kernels<T>().nr;
  LongProduct<T> product{a.cols, b.cols, a.rows, a.data, a.row_stride, nullptr, c, c_stride};
  product.pack_b = [&b, nr](std::int64_t k0, std::int64_t count, std::int64_t column, T* panel) {
    MatrixRef<T> rows = b;
    rows.data += k0 * b.row_stride;
    rows.rows = count;
    pack_panel(rows, column / nr, panel);
  };
  long_product(product);
}

template <typename T>
void column_sums(const T* x, std::int64_t rows, std::int64_t channels, T* y) {
  constexpr std::int64_t chunk = 512;
  const std::int64_t chunks = std::max<std::int64_t>(1, ceil_div(rows, chunk));
  T* partials = scratch<T>(ScratchUse::partials, chunks * channels);
#pragma omp parallel for schedule(static)
  for (std::int64_t part = 0; part < chunks; ++part) {
    T* sum = partials + part * channels;
    std::fill(sum, sum + channels, T(0));
    for (std::int64_t row = part * chunk; row < std::min(rows, (part + 1) * chunk); ++row)
      for (std::int64_t c = 0; c < channels; ++c) sum[c] += x[row * channels + c];
  }
  std::fill(y, y + channels, T(0));
  for (std::int64_t part = 0; part < chunks; ++part)
    for (std::int64_t c = 0; c < channels; ++c) y[c] += partials[part * channels + c];
}

template void gemm<float>(const MatrixRef<float>&, const MatrixRef<float>&, float*, std::int64_t,
                          const float*);
template void gemm_batched<float>(std::int64_t, const MatrixRef<float>&, std::int64_t,
                                  const MatrixRef<float>&, std::int64_t, float*, std::int64_t, std::int64_t);
template std::int64_t packed_size<float>(std::int64_t, std::int64_t);
template void pack<float>(const MatrixRef<float>&, float*);
template void gemm_packed<float>(const MatrixRef<float>&, const float*, std::int64_t, float*, std::int64_t,
                                 const Epilogue<float>&);
template void long_product<float>(const LongProduct<float>&);
template void product_over_rows<float>(const MatrixRef<float>&, const MatrixRef<float>&, float*,
                                       std::int64_t);
template void pack_panel<float>(const MatrixRef<float>&, std::int64_t, float*);
template void column_sums<float>(const float*, std::int64_t, std::int64_t, float*);
template void gemm<double>(const MatrixRef<double>&, const MatrixRef<double>&, double*, std::int64_t,
                           const double*);
template void gemm_batched<double>(std::int64_t, const MatrixRef<double>&, std::int64_t,
                                   const MatrixRef<double>&, std::int64_t, double*, std::int64_t,
                                   std::int64_t);
template std::int64_t packed_size<double>(std::int64_t, std::int64_t);
template void pack<double>(const MatrixRef<double>&, double*);
template void gemm_packed<double>(const MatrixRef<double>&, const double*, std::int64_t, double*,
                                  std::int64_t, const Epilogue<double>&);
template void long_product<double>(const LongProduct<double>&);
template void product_over_rows<double>(const MatrixRef<double>&, const MatrixRef<double>&, double*,
                                        std::int64_t);
template void pack_panel<double>(const MatrixRef<double>&, std::int64_t, double*);
template void column_sums<double>(const double*, std::int64_t, std::int64_t, double*);

}  // namespace fer::detail
