// The attention kernels of one head: tiles with an online softmax (Dao et al., FlashAttention, 2022),
// compiled once per instruction set through Highway.
//
// Scores are computed transposed: a vector holds one key's scores for neighbouring queries. Each lane keeps
// the maximum and the sum of its own query, no vector is reduced across its lanes, and the exponentials are
// already in the layout that the next product reads. Every product is C (+)= A B with B in panels: kPanel
// columns (two vectors) of all rows of B are contiguous, so the inner loop streams through memory. A is read
// element by element through two strides, so keys and values need no copy. A score is one chain of
// multiply-adds over the head's width, whatever the tile. So backward recomputes exactly the bits of forward,
// and a saturated softmax stays exactly one.
//
// Forward, for a panel of queries, over tiles of keys:
//   S^T = K (scale Q)^T;  m' = max(m, max S);  P = exp(S - m');
//   sum = sum exp(m - m') + sum of P over the keys;  O^T = O^T exp(m - m') + V^T P^T;
//   at the end  y = O / sum, lse = m + log sum.
// Backward, with delta = <dy, y> by query:
//   P = exp(S - lse);  dP^T = V dY^T;  dS = P (dP - delta) scale;
//   dV += P^T dY;  dK += dS^T Q;  dQ^T += K^T dS^T.
//
// For few queries (kFewQueries at most), the same steps run one row at a time.
//
// A bias is added to S, and a masked score becomes -infinity, whose exponential is exactly 0. A query without
// any finite score has a maximum of -infinity, which is not subtracted, and the sum 0: its y is 0 and its lse
// +infinity, so that backward finds no weight either. `biased` selects this at compile time; without it the
// kernels are those of the plain scores.

#if defined(FER_CPU_ATTENTION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef FER_CPU_ATTENTION_INL_H
#undef FER_CPU_ATTENTION_INL_H
#else
#define FER_CPU_ATTENTION_INL_H
#endif

#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu/attention.h"
#include "cpu/transpose-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace fer::HWY_NAMESPACE {
namespace {  // one copy in each file that includes this
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

// Rows of a register block: as many as fit beside two vectors of B and a broadcast of A.
#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3) || HWY_ARCH_ARM_A64
inline constexpr int kBlockRows = 12;
#else
inline constexpr int kBlockRows = 6;
#endif

/// e^x for x <= 88: x = n ln 2 + r with |r| <= 0.35, and the Taylor series in r. The relative error is below
/// two units in the last place. NaN stays NaN. A result below the smallest normal number is raised to it.
template <typename T>
HWY_INLINE Vector<T> exponential(Vector<T> x) {
  const Tag<T> d;
  const hn::RebindToSigned<Tag<T>> di;
  constexpr bool single = sizeof(T) == 4;
  constexpr int mantissa = single ? 23 : 52, bias = single ? 127 : 1023;
  const auto low = hn::Set(d, static_cast<T>(single ? -87.33654 : -708.3964185322641));
  x = hn::IfThenElse(hn::Lt(x, low), low, x);  // not Max, which drops a NaN on some processors
  const auto n = hn::Round(hn::Mul(x, hn::Set(d, static_cast<T>(1.4426950408889634))));
  // ln 2 in two parts. The first has so few bits that n times it is exact.
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

/// Transposes up to kPanel rows of src and multiplies by factor: dst[column of src][kPanel rows of src],
/// padded with zeros.
template <typename T>
void pack_transposed(const T* HWY_RESTRICT src, std::int64_t ld, std::int64_t rows, std::int64_t columns,
                     T factor, T* HWY_RESTRICT dst) {
  const Tag<T> d;
  const auto f = hn::Set(d, factor);
  if (rows < kPanel<T>) std::fill_n(dst, columns * kPanel<T>, T(0));
  transpose(src, ld, rows, columns, dst, kPanel<T>);
  for (std::int64_t i = 0; i < columns * kPanel<T>; i += kLanes<T>)
    hn::Store(hn::Mul(f, hn::Load(d, dst + i)), d, dst + i);
}

/// A matrix read through its strides.
template <typename T>
struct Strided {
  const T* data;
  std::ptrdiff_t row, column;
};

/// Rows x (Vectors * kLanes) of C (+)= A B. The whole block of C stays in registers.
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

/// Multiplies blocks of Rows rows, starting at `row`, then the remaining rows in ever smaller blocks.
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

/// Like multiply, but B is a single panel and the rows of C are kPanel apart.
template <typename T>
HWY_INLINE void multiply_panel(std::int64_t rows, std::int64_t columns, std::int64_t depth, Strided<T> a,
                               const T* b, T* c, bool accumulate) {
  multiply<T>(rows, columns, depth, a, b, 0, c, kPanel<T>, accumulate);
}

/// Applies bias and mask to the scores s[i * row + j * column] of queries i0 + i and keys j0 + j.
template <typename T>
void bias_scores(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, std::int64_t i0,
                 std::int64_t queries, std::int64_t j0, std::int64_t keys, T* HWY_RESTRICT s,
                 std::int64_t row, std::int64_t column) {
  for (std::int64_t i = 0; i < queries; ++i) {
    T* scores = s + i * row;
    if (a.bias.data) {
      const T* HWY_RESTRICT bias = a.bias.at(b, h, i0 + i, j0);
      for (std::int64_t j = 0; j < keys; ++j) scores[j * column] += bias[j * a.bias.key];
    }
    if (a.mask.data) {
      const std::uint8_t* HWY_RESTRICT mask = a.mask.at(b, h, i0 + i, j0);
      for (std::int64_t j = 0; j < keys; ++j) {
        if (mask[j * a.mask.key] == 0) scores[j * column] = -std::numeric_limits<T>::infinity();
      }
    }
  }
}

/// exponential(s - shift), and with `biased` exactly 0 for a score of -infinity.
template <bool biased, typename T>
HWY_INLINE Vector<T> softmax_weight(Vector<T> s, Vector<T> shift) {
  const Vector<T> p = exponential<T>(hn::Sub(s, shift));
  if constexpr (!biased) return p;
  return hn::IfThenZeroElse(hn::Eq(s, hn::Set(Tag<T>(), -std::numeric_limits<T>::infinity())), p);
}

/// What is subtracted from scores with the maximum `top`; with `biased` it is never infinite.
template <bool biased, typename T>
HWY_INLINE Vector<T> softmax_shift(Vector<T> top) {
  if constexpr (!biased) return top;
  return hn::IfThenZeroElse(hn::Eq(top, hn::Set(Tag<T>(), -std::numeric_limits<T>::infinity())), top);
}

/// log(sum of exp(score)), from the sum of exp(score - max).
template <typename T>
HWY_INLINE T log_denominator(T max, T sum) {
  return sum == T(0) ? std::numeric_limits<T>::infinity() : max + std::log(sum);
}

/// Online softmax of a panel: replaces the scores s (keys x queries) by exponentials and updates max and sum.
/// Unless this is the first tile, also rescales the output o (width x queries) of the earlier tiles.
template <bool biased, typename T>
void softmax_tile(std::int64_t keys, std::int64_t queries, T* HWY_RESTRICT s, T* HWY_RESTRICT max,
                  T* HWY_RESTRICT sum, bool first, std::int64_t width, T* HWY_RESTRICT o) {
  const Tag<T> d;
  for (std::int64_t j = 0; j < queries; j += kLanes<T>) {
    auto top = first ? hn::Load(d, s + j) : hn::Load(d, max + j), other = top;
    std::int64_t k = 0;
    for (; k + 2 <= keys; k += 2) {
      top = hn::Max(top, hn::Load(d, s + k * kPanel<T> + j));
      other = hn::Max(other, hn::Load(d, s + (k + 1) * kPanel<T> + j));
    }
    if (k < keys) top = hn::Max(top, hn::Load(d, s + k * kPanel<T> + j));
    top = hn::Max(top, other);
    const auto shift = softmax_shift<biased, T>(top);
    auto total = hn::Zero(d);
    if (!first) {
      const auto factor = exponential<T>(hn::Sub(hn::Load(d, max + j), shift));
      total = hn::Mul(factor, hn::Load(d, sum + j));
      for (std::int64_t c = 0; c < width; ++c) {
        T* row = o + c * kPanel<T> + j;
        hn::Store(hn::Mul(factor, hn::Load(d, row)), d, row);
      }
    }
    for (k = 0; k < keys; ++k) {
      const auto p = softmax_weight<biased, T>(hn::Load(d, s + k * kPanel<T> + j), shift);
      hn::Store(p, d, s + k * kPanel<T> + j);
      total = hn::Add(total, p);
    }
    hn::Store(top, d, max + j);
    hn::Store(total, d, sum + j);
  }
}

/// Softmax of one row: s (n scores) becomes exponentials. Returns their sum and the largest score.
template <bool biased, typename T>
HWY_INLINE std::pair<T, T> softmax_row(std::int64_t n, T* HWY_RESTRICT s) {
  const Tag<T> d;
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  const std::int64_t whole = (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  std::fill(s + n, s + whole, lowest);
  auto top = hn::Set(d, lowest);
  for (std::int64_t j = 0; j < whole; j += kLanes<T>) top = hn::Max(top, hn::Load(d, s + j));
  const T max = hn::GetLane(hn::MaxOfLanes(d, top));
  const auto shift = softmax_shift<biased, T>(hn::Set(d, max));
  auto total = hn::Zero(d);
  for (std::int64_t j = 0; j < whole; j += kLanes<T>) {
    const auto p = softmax_weight<biased, T>(hn::Load(d, s + j), shift);
    hn::Store(p, d, s + j);
    total = hn::Add(total, p);
  }
  return {hn::GetLane(hn::SumOfLanes(d, total)), max};
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

/// The scores of one query. Reads the rows of K in place: packing pays only for many queries.
template <typename T>
HWY_INLINE void score_row(const AttentionProblem<T>& a, const T* q, const T* k, T* s) {
  for (std::int64_t j = 0; j < a.keys; ++j) s[j] = a.scale * dot(a.width, q, k + j * a.dim);
}

/// forward_head for few queries: reads K and V in place.
template <typename T>
void forward_few(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, std::int64_t first,
                 std::int64_t last, const ForwardScratch<T>& w) {
  const T* k = a.k + a.key_offset(b, h);
  const T* v = a.v + a.key_offset(b, h);
  T* s = w.s;
  for (std::int64_t i = first; i < last; ++i) {
    score_row(a, a.q + a.query_offset(b, h) + i * a.dim, k, s);
    if (a.biased()) bias_scores(a, b, h, i, 1, 0, a.keys, s, 0, 1);
    const auto [sum, max] = a.biased() ? softmax_row<true>(a.keys, s) : softmax_row<false>(a.keys, s);
    T* y = a.y + a.query_offset(b, h) + i * a.dim;
    for (std::int64_t j = 0; j < a.keys; ++j) add_scaled(a.width, s[j], v + j * a.dim, w.o, j > 0);
    for (std::int64_t c = 0; c < a.width; ++c) y[c] = sum == T(0) ? T(0) : w.o[c] / sum;
    a.log_sum_exp[a.sum_offset(b, h) + i] = log_denominator(max, sum);
  }
}

/// Queries [first, last) of head h of batch b.
template <typename T>
void forward_head(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, std::int64_t first,
                  std::int64_t last, T* scratch) {
  const ForwardScratch<T> w(a, scratch);
  if (a.queries <= kFewQueries) return forward_few(a, b, h, first, last, w);
  const Tag<T> d;
  const T *k = a.k + a.key_offset(b, h), *v = a.v + a.key_offset(b, h);
  T* log_sum_exp = a.log_sum_exp + a.sum_offset(b, h);
  const std::int64_t tile = key_tile(a.keys);
  for (std::int64_t i0 = first; i0 < last; i0 += kPanel<T>) {
    const std::int64_t queries = std::min(kPanel<T>, last - i0), at = a.query_offset(b, h) + i0 * a.dim;
    pack_transposed(a.q + at, a.dim, queries, a.width, a.scale, w.q_t);
    for (std::int64_t j0 = 0; j0 < a.keys; j0 += tile) {
      const std::int64_t keys = std::min(tile, a.keys - j0);
      multiply_panel<T>(keys, queries, a.width, {k + j0 * a.dim, a.dim, 1}, w.q_t, w.s, false);
      if (a.biased()) {
        bias_scores(a, b, h, i0, queries, j0, keys, w.s, 1, kPanel<T>);
        softmax_tile<true>(keys, queries, w.s, w.max, w.sum, j0 == 0, a.width, w.o);
      } else {
        softmax_tile<false>(keys, queries, w.s, w.max, w.sum, j0 == 0, a.width, w.o);
      }
      multiply_panel<T>(a.width, queries, keys, {v + j0 * a.dim, 1, a.dim}, w.s, w.o, j0 > 0);
    }
    for (std::int64_t j = 0; j < queries; j += kLanes<T>) {
      const auto sum = hn::Load(d, w.sum + j);
      const auto inverse = hn::IfThenZeroElse(hn::Eq(sum, hn::Zero(d)), hn::Div(hn::Set(d, T(1)), sum));
      for (std::int64_t c = 0; c < a.width; ++c) {
        T* row = w.o + c * kPanel<T> + j;
        hn::Store(hn::Mul(inverse, hn::Load(d, row)), d, row);
      }
    }
    transpose(w.o, kPanel<T>, a.width, queries, a.y + at, a.dim);
    for (std::int64_t i = 0; i < queries; ++i) log_sum_exp[i0 + i] = log_denominator(w.max[i], w.sum[i]);
  }
}

/// Turns s (keys x queries) from scores into probabilities, and dp from gradients of the probabilities into
/// gradients of the unscaled scores.
template <bool biased, typename T>
void softmax_backward_tile(std::int64_t keys, std::int64_t queries, const T* log_sum_exp, const T* delta,
                           T scale, T* HWY_RESTRICT s, T* HWY_RESTRICT dp) {
  const Tag<T> d;
  const auto factor = hn::Set(d, scale);
  for (std::int64_t j = 0; j < queries; j += kLanes<T>) {
    const auto shift = hn::Load(d, log_sum_exp + j), mean = hn::Load(d, delta + j);
    for (std::int64_t k = 0; k < keys; ++k) {
      const std::int64_t at = k * kPanel<T> + j;
      const auto p = softmax_weight<biased, T>(hn::Load(d, s + at), shift);
      hn::Store(p, d, s + at);
      hn::Store(hn::Mul(hn::Mul(p, factor), hn::Sub(hn::Load(d, dp + at), mean)), d, dp + at);
    }
  }
}

/// softmax_backward_tile for one query: n contiguous scores.
template <bool biased, typename T>
HWY_INLINE void softmax_backward_row(std::int64_t n, T log_sum_exp, T delta, T scale, T* HWY_RESTRICT s,
                                     T* HWY_RESTRICT dp) {
  const Tag<T> d;
  const auto shift = hn::Set(d, log_sum_exp), mean = hn::Set(d, delta), factor = hn::Set(d, scale);
  for (std::int64_t j = 0; j < n; j += kLanes<T>) {
    const auto p = softmax_weight<biased, T>(hn::Load(d, s + j), shift);
    hn::Store(p, d, s + j);
    hn::Store(hn::Mul(hn::Mul(p, factor), hn::Sub(hn::Load(d, dp + j), mean)), d, dp + j);
  }
}

/// Writes the gradient of the scores of queries i0 ... and keys j0 ..., ds[i * row + j * column], to dscores.
template <typename T>
void store_dscores(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, std::int64_t i0,
                   std::int64_t queries, std::int64_t j0, std::int64_t keys, const T* HWY_RESTRICT ds,
                   std::int64_t row, std::int64_t column) {
  if (!a.dscores) return;
  for (std::int64_t i = 0; i < queries; ++i) {
    T* HWY_RESTRICT to = a.dscores + (a.sum_offset(b, h) + i0 + i) * a.keys + j0;
    for (std::int64_t j = 0; j < keys; ++j) to[j] = ds[i * row + j * column];
  }
}

/// Multiplies n elements, in whole vectors, by factor.
template <typename T>
void scale_vectors(std::int64_t n, T factor, T* x) {
  const Tag<T> d;
  for (std::int64_t i = 0; i < n; i += kLanes<T>)
    hn::Store(hn::Mul(hn::Load(d, x + i), hn::Set(d, factor)), d, x + i);
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
  T *s = w.s, *dp = w.dp, *dk = a.dk + a.key_offset(b, h), *dv = a.dv + a.key_offset(b, h);
  for (std::int64_t i = 0; i < a.queries; ++i) {
    const std::int64_t row = a.query_offset(b, h) + i * a.dim;
    const T *q = a.q + row, *dy = a.dy + row;
    score_row(a, q, k, s);
    for (std::int64_t j = 0; j < a.keys; ++j) dp[j] = dot(a.width, dy, v + j * a.dim);
    std::fill(s + a.keys, s + padded(a.keys), T(0));
    std::fill(dp + a.keys, dp + padded(a.keys), T(0));
    const T log_sum_exp = a.saved_log_sum_exp[a.sum_offset(b, h) + i];
    const T delta = dot(a.width, dy, a.saved_y + row);
    if (a.biased()) {
      bias_scores(a, b, h, i, 1, 0, a.keys, s, 0, 1);
      softmax_backward_row<true>(a.keys, log_sum_exp, delta, T(1), s, dp);
      store_dscores(a, b, h, i, 1, 0, a.keys, dp, 0, 1);
      scale_vectors(a.keys, a.scale, dp);
    } else {
      softmax_backward_row<false>(a.keys, log_sum_exp, delta, a.scale, s, dp);
    }
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
  const std::int64_t ld = padded(a.width), k_offset = a.key_offset(b, h), tile = key_tile(a.keys);
  const T *k = a.k + k_offset, *v = a.v + k_offset;
  const T* log_sum_exp = a.saved_log_sum_exp + a.sum_offset(b, h);
  std::fill_n(w.dk, a.keys * ld, T(0));
  std::fill_n(w.dv, a.keys * ld, T(0));

  for (std::int64_t i0 = 0; i0 < a.queries; i0 += kPanel<T>) {
    const std::int64_t queries = std::min(kPanel<T>, a.queries - i0), at = a.query_offset(b, h) + i0 * a.dim;
    const T *q = a.q + at, *dy = a.dy + at;
    pack_transposed(q, a.dim, queries, a.width, a.scale, w.q_t);
    pack_transposed(dy, a.dim, queries, a.width, T(1), w.dy_t);
    pack_panels(q, a.dim, queries, a.width, w.q);
    pack_panels(dy, a.dim, queries, a.width, w.dy);
    std::fill_n(w.delta, kPanel<T>, T(0));
    std::fill_n(w.log_sum_exp, kPanel<T>, T(0));
    std::copy_n(log_sum_exp + i0, queries, w.log_sum_exp);
    for (std::int64_t i = 0; i < queries; ++i)
      w.delta[i] = dot(a.width, dy + i * a.dim, a.saved_y + at + i * a.dim);
    for (std::int64_t j0 = 0; j0 < a.keys; j0 += tile) {
      const std::int64_t keys = std::min(tile, a.keys - j0);
      multiply_panel<T>(keys, queries, a.width, {k + j0 * a.dim, a.dim, 1}, w.q_t, w.s, false);
      multiply_panel<T>(keys, queries, a.width, {v + j0 * a.dim, a.dim, 1}, w.dy_t, w.dp, false);
      if (a.biased()) {
        bias_scores(a, b, h, i0, queries, j0, keys, w.s, 1, kPanel<T>);
        softmax_backward_tile<true>(keys, queries, w.log_sum_exp, w.delta, T(1), w.s, w.dp);
        store_dscores(a, b, h, i0, queries, j0, keys, w.dp, 1, kPanel<T>);
        scale_vectors(keys * kPanel<T>, a.scale, w.dp);
      } else {
        softmax_backward_tile<false>(keys, queries, w.log_sum_exp, w.delta, a.scale, w.s, w.dp);
      }
      multiply<T>(keys, a.width, queries, {w.s, kPanel<T>, 1}, w.dy, queries * kPanel<T>, w.dv + j0 * ld, ld,
                  true);
      multiply<T>(keys, a.width, queries, {w.dp, kPanel<T>, 1}, w.q, queries * kPanel<T>, w.dk + j0 * ld, ld,
                  true);
      multiply_panel<T>(a.width, queries, keys, {k + j0 * a.dim, 1, a.dim}, w.dp, w.dq, j0 > 0);
    }
    transpose(w.dq, kPanel<T>, a.width, queries, a.dq + at, a.dim);
  }
  unpack_rows(w.dk, ld, a.keys, a.width, a.dk + k_offset, a.dim);
  unpack_rows(w.dv, ld, a.keys, a.width, a.dv + k_offset, a.dim);
}

}  // namespace
}  // namespace fer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
