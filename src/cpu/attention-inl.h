// The attention kernels of one head, by tiles with an online softmax (Dao et al., FlashAttention, 2022),
// compiled once for each instruction set through Highway.
//
// Every product is C (+)= A B with B in panels: kPanel columns (two vectors) of all rows of B lie together,
// so that the inner loop streams through memory; A is read element by element through two strides, so that
// its transpose costs nothing. A score is one chain of multiply-adds over the head's width, whatever the
// tile: backward recomputes the bits that forward saw, and a saturated softmax stays exactly one.
//
// Forward, for a tile of queries, over tiles of keys:   S = Q (scale K)^T;  m' = max(m, max S);  P = exp(S -
// m');
//   sum = sum exp(m - m') + rowsum P;  O = O exp(m - m') + P V;      at the end  y = O / sum, lse = m + log
//   sum.
// Backward, with delta = <dy, y> by row:  P = exp(S - lse);  dP = dY V^T;  dS = P (dP - delta) scale;
//   dV += P^T dY;  dK += dS^T Q;  dQ += dS K.
//
// Few queries (kFewQueries) take the same steps a row at a time, over K and V as they lie: packing would cost
// more.

#if defined(FER_CPU_ATTENTION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FER_CPU_ATTENTION_INL_H
#undef FER_CPU_ATTENTION_INL_H
#else
#define FER_CPU_ATTENTION_INL_H
#endif

#include <algorithm>
#include <cmath>

#include "cpu/attention.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {  // of each file that includes this
namespace hn = hwy::HWY_NAMESPACE;
using namespace fer::detail;

template <typename T>
using Tag = hn::CappedTag<T, kMaxPanel / 2>;
template <typename T>
using Vector = hn::Vec<Tag<T>>;
template <typename T>
inline constexpr std::int64_t kLanes = hn::MaxLanes(Tag<T>());
template <typename T>
inline constexpr std::int64_t kPanel = 2 * kLanes<T>;

// Rows of a register block: as many as leave room for two vectors of B and a broadcast of A.
#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM_A64
inline constexpr int kBlockRows = 12;
#else
inline constexpr int kBlockRows = 6;
#endif

/// e^x by x = n ln 2 + r and the Taylor series in r, |r| <= 0.35; relative error below two units in the last
/// place. NaN stays NaN. Results below the smallest normal number become it.
template <typename T>
HWY_INLINE Vector<T> exponential(Vector<T> x) {
  const Tag<T> d;
  const hn::RebindToSigned<Tag<T>> di;
  constexpr bool single = sizeof(T) == 4;
  constexpr int mantissa = single ? 23 : 52, bias = single ? 127 : 1023;
  const auto low = hn::Set(d, static_cast<T>(single ? -87.33654 : -708.3964185322641));
  const auto high = hn::Set(d, static_cast<T>(single ? 88.37 : 709.4));
  x = hn::IfThenElse(hn::Lt(x, low), low, x);  // not Max, which drops a NaN on some processors
  x = hn::IfThenElse(hn::Gt(x, high), high, x);
  const auto n = hn::Round(hn::Mul(x, hn::Set(d, static_cast<T>(1.4426950408889634))));
  // ln 2 in two parts, the first with so few bits that n times it is exact.
  const T ln2_high = static_cast<T>(single ? 0.693359375 : 0.693145751953125);
  const T ln2_low = static_cast<T>(single ? -2.12194440054690583e-4 : 1.42860682030941723212e-6);
  auto r = hn::NegMulAdd(n, hn::Set(d, ln2_high), x);
  r = hn::NegMulAdd(n, hn::Set(d, ln2_low), r);
  constexpr double inverse_factorial[] = {1.0,
                                          1.0,
                                          1.0 / 2,
                                          1.0 / 6,
                                          1.0 / 24,
                                          1.0 / 120,
                                          1.0 / 720,
                                          1.0 / 5040,
                                          1.0 / 40320,
                                          1.0 / 362880,
                                          1.0 / 3628800,
                                          1.0 / 39916800,
                                          1.0 / 479001600,
                                          1.0 / 6227020800.0};
  constexpr int degree = single ? 7 : 13;
  auto series = hn::Set(d, static_cast<T>(inverse_factorial[degree]));
#pragma GCC unroll 16
  for (int i = degree - 1; i >= 0; --i)
    series = hn::MulAdd(series, r, hn::Set(d, static_cast<T>(inverse_factorial[i])));
  const auto power = hn::ShiftLeft<mantissa>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, bias)));
  return hn::Mul(series, hn::BitCast(d, power));
}

/// Copies rows x columns of src (row stride ld) into panels: dst[panel][row][kPanel], padded with zeros.
template <typename T>
void pack_panels(const T* HWY_RESTRICT src, std::int64_t ld, std::int64_t rows, std::int64_t columns,
                 T* HWY_RESTRICT dst) {
  const Tag<T> d;
  std::int64_t j = 0;
  for (; j + kPanel<T> <= columns; j += kPanel<T>) {
    for (std::int64_t i = 0; i < rows; ++i, dst += kPanel<T>) {
      hn::Store(hn::LoadU(d, src + i * ld + j), d, dst);
      hn::Store(hn::LoadU(d, src + i * ld + j + kLanes<T>), d, dst + kLanes<T>);
    }
  }
  if (j == columns) return;
  for (std::int64_t i = 0; i < rows; ++i, dst += kPanel<T>) {
    std::copy_n(src + i * ld + j, columns - j, dst);
    std::fill(dst + (columns - j), dst + kPanel<T>, T(0));
  }
}

/// Panels of the transpose, times factor: dst[panel][column of src][kPanel rows of src], padded with zeros.
template <typename T>
void pack_transposed(const T* src, std::int64_t ld, std::int64_t rows, std::int64_t columns, T factor,
                     T* dst) {
  for (std::int64_t i = 0; i < rows; i += kPanel<T>, dst += columns * kPanel<T>) {
    const std::int64_t height = std::min(kPanel<T>, rows - i);
    for (std::int64_t r = 0; r < height; ++r) {
      const T* row = src + (i + r) * ld;
      for (std::int64_t c = 0; c < columns; ++c) dst[c * kPanel<T> + r] = factor * row[c];
    }
    if (height == kPanel<T>) continue;
    for (std::int64_t c = 0; c < columns; ++c)
      std::fill(dst + c * kPanel<T> + height, dst + (c + 1) * kPanel<T>, T(0));
  }
}

/// A matrix read through its strides.
template <typename T>
struct Strided {
  const T* data;
  std::ptrdiff_t row, column;
};

/// Rows x (Vectors * kLanes) of C (+)= A B: all of C's block stays in registers.
template <int Rows, int Vectors, typename T>
HWY_INLINE void multiply_block(std::int64_t depth, Strided<T> a, const T* HWY_RESTRICT b, T* HWY_RESTRICT c,
                               std::int64_t ldc, bool accumulate) {
  const Tag<T> d;
  Vector<T> sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j)
      sum[i][j] = accumulate ? hn::Load(d, c + i * ldc + j * kLanes<T>) : hn::Zero(d);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector<T> bv[Vectors];
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) bv[j] = hn::Load(d, b + j * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) {
      const Vector<T> av = hn::Set(d, a.data[i * a.row]);
#pragma GCC unroll 2
      for (int j = 0; j < Vectors; ++j) sum[i][j] = hn::MulAdd(av, bv[j], sum[i][j]);
    }
    a.data += a.column;
    b += kPanel<T>;
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < Vectors; ++j) hn::Store(sum[i][j], d, c + i * ldc + j * kLanes<T>);
  }
}

/// Blocks of Rows rows from `row` on, then ever smaller ones.
template <int Rows, int Vectors, typename T>
HWY_INLINE void multiply_rows(std::int64_t row, std::int64_t rows, std::int64_t depth, Strided<T> a,
                              const T* b, T* c, std::int64_t ldc, bool accumulate) {
  for (; row + Rows <= rows; row += Rows) {
    multiply_block<Rows, Vectors, T>(depth, {a.data + row * a.row, a.row, a.column}, b, c + row * ldc, ldc,
                                     accumulate);
  }
  if constexpr (Rows > 1) {
    constexpr int next = Rows > 3 ? Rows / 2 : 1;
    if (row < rows) multiply_rows<next, Vectors, T>(row, rows, depth, a, b, c, ldc, accumulate);
  }
}

/// C (+)= A B: rows x columns x depth. B is in panels `panel_stride` elements apart; C is padded to whole
/// vectors.
template <typename T>
void multiply(std::int64_t rows, std::int64_t columns, std::int64_t depth, Strided<T> a, const T* b,
              std::int64_t panel_stride, T* c, std::int64_t ldc, bool accumulate) {
  for (std::int64_t j = 0; j < columns; j += kPanel<T>, b += panel_stride) {
    if (columns - j > kLanes<T>) {
      multiply_rows<kBlockRows, 2, T>(0, rows, depth, a, b, c + j, ldc, accumulate);
    } else {
      multiply_rows<kBlockRows, 1, T>(0, rows, depth, a, b, c + j, ldc, accumulate);
    }
  }
}

/// Online softmax of one row: s (n scores) becomes exponentials; max, sum and the row's output o follow.
template <typename T>
HWY_INLINE void softmax_row(std::int64_t n, T* HWY_RESTRICT s, T& max, T& sum, std::int64_t width,
                            T* HWY_RESTRICT o) {
  const Tag<T> d;
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  const std::int64_t whole = (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  std::fill(s + n, s + whole, lowest);
  auto top = hn::Set(d, max);
  for (std::int64_t j = 0; j < whole; j += kLanes<T>) top = hn::Max(top, hn::Load(d, s + j));
  const T new_max = hn::GetLane(hn::MaxOfLanes(d, top));
  const auto shift = hn::Set(d, new_max);
  auto total = hn::Zero(d);
  for (std::int64_t j = 0; j < whole; j += kLanes<T>) {
    const auto p = exponential<T>(hn::Sub(hn::Load(d, s + j), shift));
    hn::Store(p, d, s + j);
    total = hn::Add(total, p);
  }
  const T tile_sum = hn::GetLane(hn::SumOfLanes(d, total));
  if (max == lowest) {  // the first tile
    sum = tile_sum;
  } else if (max == new_max) {
    sum += tile_sum;
  } else {
    const T factor = std::exp(max - new_max);
    sum = sum * factor + tile_sum;
    const auto f = hn::Set(d, factor);
    for (std::int64_t c = 0; c < width; c += kLanes<T>) hn::Store(hn::Mul(f, hn::Load(d, o + c)), d, o + c);
  }
  max = new_max;
}

template <typename T>
HWY_INLINE T dot(std::int64_t n, const T* a, const T* b) {
  const Tag<T> d;
  auto sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  T total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

/// y (+)= a x.
template <typename T>
HWY_INLINE void add_scaled(std::int64_t n, T a, const T* x, T* y, bool accumulate) {
  const Tag<T> d;
  const auto factor = hn::Set(d, a);
  std::int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    const auto before = accumulate ? hn::LoadU(d, y + i) : hn::Zero(d);
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(d, x + i), before), d, y + i);
  }
  for (; i < n; ++i) y[i] = a * x[i] + (accumulate ? y[i] : T(0));
}

/// The scores of one query, by the rows of K as they lie: packing them pays only for many queries.
template <typename T>
HWY_INLINE void score_row(const AttentionProblem<T>& a, const T* q, const T* k, T* s) {
  for (std::int64_t j = 0; j < a.keys; ++j) s[j] = a.scale * dot(a.width, q, k + j * a.dim);
}

/// forward_head for few queries: K and V are read where they lie.
template <typename T>
void forward_few(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, std::int64_t first,
                 std::int64_t last, const ForwardScratch<T>& w) {
  const T* k = a.k + a.key_offset(b, h);
  const T* v = a.v + a.key_offset(b, h);
  T* s = w.k_t;
  for (std::int64_t i = first; i < last; ++i) {
    T max = -std::numeric_limits<T>::infinity(), sum = 0;
    score_row(a, a.q + a.query_offset(b, h) + i * a.dim, k, s);
    softmax_row<T>(a.keys, s, max, sum, 0, nullptr);
    T* y = a.y + a.query_offset(b, h) + i * a.dim;
    for (std::int64_t j = 0; j < a.keys; ++j) add_scaled(a.width, s[j], v + j * a.dim, w.o, j > 0);
    for (std::int64_t c = 0; c < a.width; ++c) y[c] = w.o[c] / sum;
    a.log_sum_exp[a.sum_offset(b, h) + i] = max + std::log(sum);
  }
}

/// Queries [first, last) of head h of batch b.
template <typename T>
void forward_head(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, std::int64_t first,
                  std::int64_t last, T* scratch) {
  const ForwardScratch<T> w(a, scratch);
  if (a.queries <= kFewQueries) return forward_few(a, b, h, first, last, w);
  const std::int64_t ldo = padded(a.width);
  const T* q = a.q + a.query_offset(b, h);
  T* y = a.y + a.query_offset(b, h);
  T* log_sum_exp = a.log_sum_exp + a.sum_offset(b, h);
  pack_transposed(a.k + a.key_offset(b, h), a.dim, a.keys, a.width, a.scale, w.k_t);
  pack_panels(a.v + a.key_offset(b, h), a.dim, a.keys, a.width, w.v);

  for (std::int64_t i0 = first; i0 < last; i0 += kQueryTile) {
    const std::int64_t rows = std::min(kQueryTile, last - i0);
    std::fill_n(w.max, rows, -std::numeric_limits<T>::infinity());
    for (std::int64_t j0 = 0; j0 < a.keys; j0 += kKeyTile) {
      const std::int64_t columns = std::min(kKeyTile, a.keys - j0);
      multiply<T>(rows, columns, a.width, {q + i0 * a.dim, a.dim, 1}, w.k_t + j0 * a.width,
                  a.width * kPanel<T>, w.s, kKeyTile, false);
      for (std::int64_t i = 0; i < rows; ++i)
        softmax_row(columns, w.s + i * kKeyTile, w.max[i], w.sum[i], a.width, w.o + i * ldo);
      multiply<T>(rows, a.width, columns, {w.s, kKeyTile, 1}, w.v + j0 * kPanel<T>, a.keys * kPanel<T>, w.o,
                  ldo, j0 > 0);
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      const T inverse = T(1) / w.sum[i];
      for (std::int64_t c = 0; c < a.width; ++c) y[(i0 + i) * a.dim + c] = w.o[i * ldo + c] * inverse;
      log_sum_exp[i0 + i] = w.max[i] + std::log(w.sum[i]);
    }
  }
}

/// s: scores to probabilities; dp: gradients of the probabilities to those of the unscaled scores.
template <typename T>
HWY_INLINE void softmax_backward_row(std::int64_t n, T log_sum_exp, T delta, T scale, T* HWY_RESTRICT s,
                                     T* HWY_RESTRICT dp) {
  const Tag<T> d;
  const auto shift = hn::Set(d, log_sum_exp), mean = hn::Set(d, delta), factor = hn::Set(d, scale);
  for (std::int64_t j = 0; j < n; j += kLanes<T>) {
    const auto p = exponential<T>(hn::Sub(hn::Load(d, s + j), shift));
    hn::Store(p, d, s + j);
    hn::Store(hn::Mul(hn::Mul(p, factor), hn::Sub(hn::Load(d, dp + j), mean)), d, dp + j);
  }
}

/// Copies rows x width from a padded buffer to strided rows.
template <typename T>
void unpack_rows(const T* src, std::int64_t lds, std::int64_t rows, std::int64_t width, T* dst,
                 std::int64_t ldd) {
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(src + i * lds, width, dst + i * ldd);
}

/// backward_head for few queries.
template <typename T>
void backward_few(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, const BackwardScratch<T>& w) {
  const T* k = a.k + a.key_offset(b, h);
  const T* v = a.v + a.key_offset(b, h);
  T *s = w.k_t, *dp = w.v_t, *dk = a.dk + a.key_offset(b, h), *dv = a.dv + a.key_offset(b, h);
  for (std::int64_t i = 0; i < a.queries; ++i) {
    const std::int64_t row = a.query_offset(b, h) + i * a.dim;
    const T *q = a.q + row, *dy = a.dy + row;
    score_row(a, q, k, s);
    for (std::int64_t j = 0; j < a.keys; ++j) dp[j] = dot(a.width, dy, v + j * a.dim);
    std::fill(s + a.keys, s + padded(a.keys), T(0));
    std::fill(dp + a.keys, dp + padded(a.keys), T(0));
    softmax_backward_row(a.keys, a.saved_log_sum_exp[a.sum_offset(b, h) + i],
                         dot(a.width, dy, a.saved_y + row), a.scale, s, dp);
    for (std::int64_t j = 0; j < a.keys; ++j) {
      add_scaled(a.width, s[j], dy, dv + j * a.dim, i > 0);
      add_scaled(a.width, dp[j], q, dk + j * a.dim, i > 0);
      add_scaled(a.width, dp[j], k + j * a.dim, a.dq + row, j > 0);
    }
  }
}

/// All queries and keys of head h of batch b.
template <typename T>
void backward_head(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, T* scratch) {
  const BackwardScratch<T> w(a, scratch);
  if (a.queries > 0 && a.queries <= kFewQueries) return backward_few(a, b, h, w);
  const std::int64_t ld = padded(a.width), q_offset = a.query_offset(b, h), k_offset = a.key_offset(b, h);
  const T* log_sum_exp = a.saved_log_sum_exp + a.sum_offset(b, h);
  pack_transposed(a.k + k_offset, a.dim, a.keys, a.width, a.scale, w.k_t);
  pack_transposed(a.v + k_offset, a.dim, a.keys, a.width, T(1), w.v_t);
  pack_panels(a.k + k_offset, a.dim, a.keys, a.width, w.k);
  std::fill_n(w.dk, a.keys * ld, T(0));
  std::fill_n(w.dv, a.keys * ld, T(0));

  for (std::int64_t i0 = 0; i0 < a.queries; i0 += kQueryTile) {
    const std::int64_t rows = std::min(kQueryTile, a.queries - i0);
    const T* q = a.q + q_offset + i0 * a.dim;
    const T* dy = a.dy + q_offset + i0 * a.dim;
    pack_panels(q, a.dim, rows, a.width, w.q);
    pack_panels(dy, a.dim, rows, a.width, w.dy);
    for (std::int64_t i = 0; i < rows; ++i)
      w.delta[i] = dot(a.width, dy + i * a.dim, a.saved_y + q_offset + (i0 + i) * a.dim);
    for (std::int64_t j0 = 0; j0 < a.keys; j0 += kKeyTile) {
      const std::int64_t columns = std::min(kKeyTile, a.keys - j0);
      multiply<T>(rows, columns, a.width, {q, a.dim, 1}, w.k_t + j0 * a.width, a.width * kPanel<T>, w.s,
                  kKeyTile, false);
      multiply<T>(rows, columns, a.width, {dy, a.dim, 1}, w.v_t + j0 * a.width, a.width * kPanel<T>, w.dp,
                  kKeyTile, false);
      for (std::int64_t i = 0; i < rows; ++i)
        softmax_backward_row(columns, log_sum_exp[i0 + i], w.delta[i], a.scale, w.s + i * kKeyTile,
                             w.dp + i * kKeyTile);
      multiply<T>(columns, a.width, rows, {w.s, 1, kKeyTile}, w.dy, rows * kPanel<T>, w.dv + j0 * ld, ld,
                  true);
      multiply<T>(columns, a.width, rows, {w.dp, 1, kKeyTile}, w.q, rows * kPanel<T>, w.dk + j0 * ld, ld,
                  true);
      multiply<T>(rows, a.width, columns, {w.dp, kKeyTile, 1}, w.k + j0 * kPanel<T>, a.keys * kPanel<T>, w.dq,
                  ld, j0 > 0);
    }
    unpack_rows(w.dq, ld, rows, a.width, a.dq + q_offset + i0 * a.dim, a.dim);
  }
  unpack_rows(w.dk, ld, a.keys, a.width, a.dk + k_offset, a.dim);
  unpack_rows(w.dv, ld, a.keys, a.width, a.dv + k_offset, a.dim);
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
