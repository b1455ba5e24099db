// Register-tiled product kernels with Highway. A tile of C stays in registers (6 rows by 2 vectors with 16
// registers, 14 by 2 with 32). Each step of k broadcasts one element of A per row against two vectors of B.
#include "cpu/gemm_kernels.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/gemm_kernels.cpp"
#include "cpu/highway_targets.h"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// foreach_target.h must come first
#include "cpu/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fer::detail::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET <= HWY_AVX3
constexpr int kTileRows = 14;  // 28 accumulators, 2 vectors of B, 1 of A: 31 of 32 registers
#else
constexpr int kTileRows = 6;  // 12 accumulators, 2 vectors of B, 1 of A: 15 of 16 registers
#endif

template <typename T>
using Tag = hn::ScalableTag<T>;
template <typename T>
constexpr std::int64_t kLanes = hn::MaxLanes(Tag<T>());
template <typename T>
constexpr std::int64_t kPanelColumns = 2 * kLanes<T>;

template <typename T, int rows>
struct Accumulators {
  hn::Vec<Tag<T>> left[rows], right[rows];
};

constexpr std::int64_t kLine = 64;  // bytes of a cache line

// Prefetches memory while a product runs, `step` bytes per step of k, into the second-level cache: the first
// level is too small for data that is needed later. Prefetching an invalid address is harmless.
struct Ahead {
  const char* next = nullptr;
  std::int64_t step = 0;

  HWY_INLINE void fetch() {
    fetch(next);
    if (step > kLine) fetch(next + kLine);
    next += step;
  }

 private:
  static HWY_INLINE void fetch(const char* address) {
#if defined(__GNUC__)
    __builtin_prefetch(address, 0, 2);
#else
    hwy::Prefetch(address);
#endif
  }
};
struct NothingAhead {
  HWY_INLINE void fetch() {}
};

// The next panel of B. Each of the `tiles` that go through the current panel prefetches its share of it.
template <typename T>
HWY_INLINE Ahead next_panel(const T* panel, std::int64_t tiles) {
  const auto row = static_cast<std::int64_t>(kPanelColumns<T> * sizeof(T));
  return {reinterpret_cast<const char*>(panel), (row + tiles - 1) / tiles};
}

// PackedRows, EvenRows and PointedRows read the elements of A that a tile needs, step by step. PackedRows
// reads a packed tile.
template <typename T, int width>
struct PackedRows {
  const T* a;
  HWY_INLINE T at(int i) const { return a[i]; }
  HWY_INLINE void next() { a += width; }
};
// Reads evenly spaced rows. Three rows share a pointer, as there are too few registers for one pointer each.
template <typename T, int rows>
struct EvenRows {
  const T* of_three[(rows + 2) / 3];
  std::int64_t stride;
  HWY_INLINE EvenRows(const T* a, std::int64_t stride_) : stride(stride_) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; i += 3) of_three[i / 3] = a + i * stride;
  }
  HWY_INLINE T at(int i) const {
    return of_three[i / 3][i % 3 * stride];
  }
  HWY_INLINE void next() {
#pragma GCC unroll 16
    for (int i = 0; i < rows; i += 3) ++of_three[i / 3];
  }
};
// Reads rows at any addresses.
template <typename T, int rows>
struct PointedRows {
  const T* a[rows];
  std::int64_t step = 0;
  HWY_INLINE T at(int i) const { return a[i][step]; }
  HWY_INLINE void next() { ++step; }
};

// Adds the products of `k` steps.
template <typename T, int rows, typename Rows, typename Prefetch>
HWY_INLINE void multiply(std::int64_t k, Rows a, const T* HWY_RESTRICT b, Accumulators<T, rows>& acc,
                         Prefetch& ahead) {
  const Tag<T> d;
  for (std::int64_t step = 0; step < k; ++step, b += kPanelColumns<T>) {
    const auto b_left = hn::Load(d, b);
    const auto b_right = hn::Load(d, b + kLanes<T>);
    ahead.fetch();
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const auto a_i = hn::Set(d, a.at(i));
      acc.left[i] = hn::MulAdd(a_i, b_left, acc.left[i]);
      acc.right[i] = hn::MulAdd(a_i, b_right, acc.right[i]);
    }
    a.next();
  }
}

// WholeRow and PartOfRow load and store the two vectors of a row of C.
template <typename T>
struct WholeRow {
  HWY_INLINE hn::Vec<Tag<T>> load(int half, const T* c) const {
    return hn::LoadU(Tag<T>(), c + half * kLanes<T>);
  }
  HWY_INLINE void store(int half, hn::Vec<Tag<T>> value, T* c) const {
    hn::StoreU(value, Tag<T>(), c + half * kLanes<T>);
  }
};
#if HWY_TARGET <= HWY_AVX2
constexpr bool kMasks = true;  // a masked store does not touch the other lanes
#else
constexpr bool kMasks = false;
#endif
// Loads and stores only the first `columns` columns of the two vectors.
template <typename T>
class PartOfRow {
 public:
  HWY_INLINE explicit PartOfRow(std::int64_t columns)
      : masks_{mask(columns), mask(std::max<std::int64_t>(0, columns - kLanes<T>))} {}
  HWY_INLINE hn::Vec<Tag<T>> load(int half, const T* c) const {
    return hn::MaskedLoad(masks_[half], Tag<T>(), c + half * kLanes<T>);
  }
  HWY_INLINE void store(int half, hn::Vec<Tag<T>> value, T* c) const {
    hn::BlendedStore(value, masks_[half], Tag<T>(), c + half * kLanes<T>);
  }

 private:
  using Mask = hn::Mask<Tag<T>>;
  static HWY_INLINE Mask mask(std::int64_t columns) {
    return hn::FirstN(Tag<T>(), static_cast<std::size_t>(std::min(columns, kLanes<T>)));
  }
  Mask masks_[2];
};

// Applies the epilogue to the first `valid` rows of a tile and writes them.
template <bool accumulate, bool sloped, bool added, typename T, int rows, typename Row>
HWY_INLINE void finish(const BlockProduct<T>& p, std::int64_t row, std::int64_t valid, std::int64_t column,
                       const Accumulators<T, rows>& acc, const Row& access) {
  const Tag<T> d;
  hn::Vec<Tag<T>> bias[2] = {hn::Zero(d), hn::Zero(d)}, slope[2] = {hn::Zero(d), hn::Zero(d)};
  for (int half = 0; half < 2; ++half) {
    if (p.bias) bias[half] = access.load(half, p.bias + column);
    if constexpr (sloped) slope[half] = access.load(half, p.slope + column);
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    if (i >= valid) break;
    T* HWY_RESTRICT c = p.c_rows[row + i] + column;
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      auto value = half == 0 ? acc.left[i] : acc.right[i];
      if constexpr (accumulate) value = hn::Add(value, access.load(half, c));
      value = hn::Add(value, bias[half]);
      if constexpr (sloped)
        value = hn::IfThenElse(hn::Gt(value, hn::Zero(d)), value, hn::Mul(value, slope[half]));
      if constexpr (added) value = hn::Add(value, access.load(half, p.residual_rows[row + i] + column));
      access.store(half, value, c);
    }
  }
}

template <typename T, int rows, typename Row>
HWY_INLINE void finish(const BlockProduct<T>& p, std::int64_t row, std::int64_t valid, std::int64_t column,
                       const Accumulators<T, rows>& acc, const Row& access) {
  if (p.slope && p.residual_rows) {
    if (p.accumulate) return finish<true, true, true>(p, row, valid, column, acc, access);
    return finish<false, true, true>(p, row, valid, column, acc, access);
  }
  if (p.slope) {
    if (p.accumulate) return finish<true, true, false>(p, row, valid, column, acc, access);
    return finish<false, true, false>(p, row, valid, column, acc, access);
  }
  if (p.residual_rows) {
    if (p.accumulate) return finish<true, false, true>(p, row, valid, column, acc, access);
    return finish<false, false, true>(p, row, valid, column, acc, access);
  }
  if (p.accumulate) return finish<true, false, false>(p, row, valid, column, acc, access);
  finish<false, false, false>(p, row, valid, column, acc, access);
}

// Writes the first `valid` rows and `columns` columns of a tile.
template <typename T, int rows>
HWY_INLINE void store(const BlockProduct<T>& p, std::int64_t row, std::int64_t valid, std::int64_t column,
                      std::int64_t columns, const Accumulators<T, rows>& acc) {
  if (HWY_LIKELY(columns == kPanelColumns<T>)) return finish(p, row, valid, column, acc, WholeRow<T>());
  if constexpr (kMasks) return finish(p, row, valid, column, acc, PartOfRow<T>(columns));
  HWY_ALIGN T tile[rows * kPanelColumns<T>];
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    hn::Store(acc.left[i], Tag<T>(), tile + i * kPanelColumns<T>);
    hn::Store(acc.right[i], Tag<T>(), tile + i * kPanelColumns<T> + kLanes<T>);
  }
  for (std::int64_t i = 0; i < valid; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      T& c = p.c_rows[row + i][column + j];
      T value = tile[i * kPanelColumns<T> + j];
      if (p.accumulate) value += c;
      if (p.bias) value += p.bias[column + j];
      if (p.slope && !(value > 0)) value *= p.slope[column + j];
      if (p.residual_rows) value += p.residual_rows[row + i][column + j];
      c = value;
    }
  }
}

// Computes `valid` rows from `row` on (at most `rows`) by the columns of one panel.
template <typename T, int rows>
HWY_NOINLINE void tile_product(const BlockProduct<T>& p, std::int64_t row, std::int64_t valid,
                               std::int64_t panel, Ahead ahead) {
  const Tag<T> d;
  Accumulators<T, rows> acc;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) acc.left[i] = acc.right[i] = hn::Zero(d);
  const T* b = p.b + panel * p.b_panel_pitch;
  if (p.a_panels) {
    const T* a = p.a_panels + row / kTileRows * p.a_panel_pitch + row % kTileRows;
    multiply<T, rows>(p.segment_k, PackedRows<T, kTileRows>{a}, b, acc, ahead);
  } else if (p.a && valid == rows) {
    multiply<T, rows>(p.segment_k, EvenRows<T, rows>(p.a + row * p.a_stride, p.a_stride), b, acc, ahead);
  } else {
    for (std::int64_t segment = 0; segment < p.segments; ++segment) {
      PointedRows<T, rows> a;
      const T* const* starts = p.a ? nullptr : p.a_rows + segment * p.a_rows_pitch + row;
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        const int source = i < valid ? i : 0;
        a.a[i] = starts ? starts[source] + p.a_offset : p.a + (row + source) * p.a_stride;
      }
      multiply<T, rows>(p.segment_k, a, b, acc, ahead);
      b += p.segment_k * kPanelColumns<T>;
    }
  }
  const std::int64_t column = panel * kPanelColumns<T>;
  store<T, rows>(p, row, valid, column, std::min(p.n - column, kPanelColumns<T>), acc);
}

template <typename T>
void block_product(const BlockProduct<T>& p) {
  const std::int64_t panels = (p.n + kPanelColumns<T> - 1) / kPanelColumns<T>;
  const std::int64_t tiles = (p.rows + kTileRows - 1) / kTileRows, k = p.segments * p.segment_k;
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    Ahead ahead = next_panel(p.b + std::min(panel + 1, panels - 1) * p.b_panel_pitch, tiles);
    std::int64_t row = 0;
    for (; row + kTileRows <= p.rows; row += kTileRows, ahead.next += k * ahead.step)
      tile_product<T, kTileRows>(p, row, kTileRows, panel, ahead);
    const std::int64_t rest = p.rows - row;
    if (rest > kTileRows / 2) {
      tile_product<T, kTileRows>(p, row, rest, panel, ahead);
    } else if (rest > 1) {
      tile_product<T, kTileRows / 2>(p, row, rest, panel, ahead);
    } else if (rest == 1) {
      tile_product<T, 1>(p, row, rest, panel, ahead);
    }
  }
}

// A tile of a strided product over [0, k): c = A b, or c += A b.
template <typename T, int rows>
HWY_NOINLINE void strided_tile(const StridedProducts<T>& p, const T* a, const T* b, std::int64_t k,
                               bool accumulate, T* HWY_RESTRICT c, Ahead ahead) {
  const Tag<T> d;
  Accumulators<T, rows> acc;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) acc.left[i] = acc.right[i] = hn::Zero(d);
  multiply<T, rows>(k, EvenRows<T, rows>(a, p.a_stride), b, acc, ahead);
  if (accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      acc.left[i] = hn::Add(acc.left[i], hn::Load(d, c + i * p.c_stride));
      acc.right[i] = hn::Add(acc.right[i], hn::Load(d, c + i * p.c_stride + kLanes<T>));
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    hn::Store(acc.left[i], d, c + i * p.c_stride);
    hn::Store(acc.right[i], d, c + i * p.c_stride + kLanes<T>);
  }
}

constexpr int kLeastRows = kTileRows / 2;

// strided_tile() of `height` rows, at least kLeastRows.
template <typename T, int rows = kTileRows>
HWY_INLINE void strided_tile_of(std::int64_t height, const StridedProducts<T>& p, const T* a, const T* b,
                                std::int64_t k, bool accumulate, T* c, Ahead ahead) {
  if constexpr (rows > kLeastRows) {
    if (height < rows) return strided_tile_of<T, rows - 1>(height, p, a, b, k, accumulate, c, ahead);
  }
  strided_tile<T, rows>(p, a, b, k, accumulate, c, ahead);
}

// Multiplies all rows of A by one piece of a panel, k deep, which stays in the first-level cache. The rows
// are spread evenly over the smallest number of register tiles. `next` is the following piece. It is
// prefetched while this piece is multiplied, because weights come from memory or the last-level cache.
template <typename T>
HWY_INLINE void strided_piece(const StridedProducts<T>& p, std::int64_t rows, const T* a, const T* b,
                              std::int64_t k, bool accumulate, T* c, const T* next) {
  const std::int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  Ahead ahead = next_panel(next, tiles);
  for (std::int64_t tile = 0, row = 0; tile < tiles; ++tile, ahead.next += k * ahead.step) {
    const std::int64_t height = (rows - row) / (tiles - tile);
    strided_tile_of<T>(height, p, a + row * p.a_stride, b, k, accumulate, c + row * p.c_stride, ahead);
    row += height;
  }
}

template <typename T>
void strided_products(const StridedProducts<T>& p) {
  for (std::int64_t item = 0; item < p.count; ++item) {
    if (p.rows[item] == 0) continue;
    for (std::int64_t panel = 0; panel < p.panels; ++panel) {
      const T* a = p.a + item * p.a_pitch;
      const T* b = p.b + panel * p.b_panel_pitch + item * p.b_pitch;
      T* c = p.c + item * p.c_pitch + panel * kPanelColumns<T>;
      const T* after = panel + 1 < p.panels ? b + p.b_panel_pitch : p.b + (item + 1) * p.b_pitch;
      for (std::int64_t k0 = 0; k0 < p.k; k0 += p.depth) {
        const std::int64_t end = std::min(p.k, k0 + p.depth);
        const T* next = end < p.k ? b + end * kPanelColumns<T> : after;
        strided_piece(p, p.rows[item], a + k0, b + k0 * kPanelColumns<T>, end - k0, k0 > 0, c, next);
      }
    }
  }
}

// Rows [row, row + rows) of C, as far as they exist, by the columns of one panel.
template <typename T, int rows>
HWY_INLINE void tall_tile(const TallProduct<T>& p, std::int64_t row, const T* b, std::int64_t column) {
  if (row >= p.m) return;
  BlockProduct<T> target;  // has only the members that store() reads
  T* c_rows[rows];
  Accumulators<T, rows> acc;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
    acc.left[i] = acc.right[i] = hn::Zero(Tag<T>());
    c_rows[i] = p.c + (row + i) * p.c_stride + column;
  }
  NothingAhead nothing;
  multiply<T, rows>(p.k, PackedRows<T, 16>{p.a + row / 16 * p.a_block_pitch + row % 16}, b, acc, nothing);
  target.c_rows = c_rows;
  target.accumulate = p.accumulate;
  store<T, rows>(target, 0, std::min<std::int64_t>(rows, p.m - row), 0,
                 std::min(p.n - column, kPanelColumns<T>), acc);
}

template <typename T>
void tall_product(const TallProduct<T>& p) {
  for (std::int64_t column = 0; column < p.n; column += kPanelColumns<T>) {
    const T* b = p.b + column / kPanelColumns<T> * p.b_panel_pitch;
    for (std::int64_t row = 0; row < p.m; row += 16) {
      // 16 rows in register tiles: two of 8, or 6 + 6 + 4 with 16 registers
      if constexpr (kTileRows >= 8) {
        tall_tile<T, 8>(p, row, b, column);
        tall_tile<T, 8>(p, row + 8, b, column);
      } else {
        tall_tile<T, 6>(p, row, b, column);
        tall_tile<T, 6>(p, row + 6, b, column);
        tall_tile<T, 4>(p, row + 12, b, column);
      }
    }
  }
}

template <typename T>
void copy_panel(const T* source, std::int64_t stride, std::int64_t count, T* panel) {
  const Tag<T> d;
  for (std::int64_t k = 0; k < count; ++k, source += stride, panel += kPanelColumns<T>) {
    hn::Store(hn::LoadU(d, source), d, panel);
    hn::Store(hn::LoadU(d, source + kLanes<T>), d, panel + kLanes<T>);
  }
}

template <typename T>
void transpose_panel(const T* source, std::int64_t stride, std::int64_t count, T* panel) {
  fer::HWY_NAMESPACE::transpose(source, stride, kPanelColumns<T>, count, panel, kPanelColumns<T>);
}

template <typename T>
void copy_tile(const T* source, std::int64_t stride, std::int64_t count, T* panel) {
  for (std::int64_t k = 0; k < count; ++k, source += stride, panel += kTileRows)
    std::memcpy(panel, source, kTileRows * sizeof(T));
}

template <typename T>
double peak(std::int64_t rounds) {
  const Tag<T> d;
  constexpr int count = 2 * kTileRows - 2;
  hn::Vec<Tag<T>> sum[count];
  for (int i = 0; i < count; ++i) sum[i] = hn::Set(d, T(i));
  // volatile hides the value from the compiler, which could otherwise compute the result in advance.
  volatile T seed = T(0.999);
  const auto factor = hn::Set(d, seed), term = hn::Set(d, T(seed * T(0.001)));
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < count; ++i) sum[i] = hn::MulAdd(sum[i], factor, term);
  }
  for (int i = 1; i < count; ++i) sum[0] = hn::Add(sum[0], sum[i]);
  volatile T sink = hn::GetLane(sum[0]);
  (void)sink;
  return 2.0 * static_cast<double>(rounds) * count * static_cast<double>(kLanes<T>);
}

template <typename T>
const ProductKernels<T>* table() {
  constexpr bool fused = HWY_TARGET != HWY_SSE4 && HWY_TARGET != HWY_SCALAR;
  static const ProductKernels<T> kernels{.name = hwy::TargetName(HWY_TARGET),
                                         .mr = kTileRows,
                                         .nr = kPanelColumns<T>,
                                         .fused = fused,
                                         .block_product = &block_product<T>,
                                         .strided_products = &strided_products<T>,
                                         .tall_product = &tall_product<T>,
                                         .copy_panel = &copy_panel<T>,
                                         .transpose_panel = &transpose_panel<T>,
                                         .copy_tile = &copy_tile<T>,
                                         .peak = &peak<T>};
  return &kernels;
}
const ProductKernels<float>* kernels_float() {
  return table<float>();
}
const ProductKernels<double>* kernels_double() {
  return table<double>();
}

}  // namespace fer::detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fer::detail {

HWY_EXPORT(kernels_float);
HWY_EXPORT(kernels_double);

template <>
const ProductKernels<float>& product_kernels<float>() {
  static const ProductKernels<float>* kernels = HWY_DYNAMIC_DISPATCH(kernels_float)();
  return *kernels;
}

template <>
const ProductKernels<double>& product_kernels<double>() {
  static const ProductKernels<double>* kernels = HWY_DYNAMIC_DISPATCH(kernels_double)();
  return *kernels;
}

}  // namespace fer::detail
#endif
