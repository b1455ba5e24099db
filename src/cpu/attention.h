// What the attention kernels (attention-inl.h, compiled once per instruction set) and their callers
// (attention.cpp) share: the problem, tile sizes, and the layout of a thread's scratch memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace fer::detail {

// A tile of scores is kQueryTile x kKeyTile: 24 KB of floats, so that it stays in the first-level cache
// beside the panels that it meets. Both are multiples of every register block (6 and 12 rows, up to 32
// columns).
inline constexpr std::int64_t kQueryTile = 48;
inline constexpr std::int64_t kKeyTile = 128;
// So few queries, as the class token's alone in the last block, do not pay for packing the keys and values.
inline constexpr std::int64_t kFewQueries = 2;
// No instruction set has panels wider than this; buffers are padded to it.
inline constexpr std::int64_t kMaxPanel = 32;

inline std::int64_t padded(std::int64_t n) {
  return (n + kMaxPanel - 1) / kMaxPanel * kMaxPanel;
}

/// One call of attention. Row i of batch b, head h of a tensor with T rows begins at (b * T + i) * dim + h *
/// width.
template <typename T>
struct AttentionProblem {
  std::int64_t batch, queries, keys, dim, heads, width;  ///< width = dim / heads
  T scale;                                               ///< 1 / sqrt(width)
  const T *q, *k, *v;
  T *y, *log_sum_exp;                         ///< written by forward
  const T *saved_y, *saved_log_sum_exp, *dy;  ///< read by backward
  T *dq, *dk, *dv;                            ///< written by backward

  std::int64_t query_offset(std::int64_t b, std::int64_t h) const { return b * queries * dim + h * width; }
  std::int64_t key_offset(std::int64_t b, std::int64_t h) const { return b * keys * dim + h * width; }
  std::int64_t sum_offset(std::int64_t b, std::int64_t h) const { return (b * heads + h) * queries; }
};

/// Hands out 64-byte aligned parts of a block; with a null block it only measures.
template <typename T>
class ScratchCursor {
 public:
  explicit ScratchCursor(T* base) : base_(base) {}
  T* take(std::int64_t count) {
    T* part = base_ ? base_ + used_ : nullptr;
    used_ += padded(count);
    return part;
  }
  std::int64_t used() const { return used_; }

 private:
  T* base_;
  std::int64_t used_ = 0;
};

template <typename T>
struct ForwardScratch {
  T* k_t;  ///< K^T of the head times scale, in panels: width x keys
  T* v;    ///< V of the head in panels: keys x width
  T* s;    ///< kQueryTile x kKeyTile: scores, then their exponentials
  T* o;    ///< kQueryTile x padded(width): the unnormalised output
  T* max;  ///< kQueryTile: greatest score of each row so far
  T* sum;  ///< kQueryTile: its softmax denominator so far
  std::int64_t size;

  ForwardScratch(const AttentionProblem<T>& a, T* base) {
    ScratchCursor<T> cursor(base);
    k_t = cursor.take(padded(a.keys) * a.width);
    v = cursor.take(a.keys * padded(a.width));
    s = cursor.take(kQueryTile * kKeyTile);
    o = cursor.take(kQueryTile * padded(a.width));
    max = cursor.take(kQueryTile);
    sum = cursor.take(kQueryTile);
    size = cursor.used();
  }
};

template <typename T>
struct BackwardScratch {
  T* k_t;      ///< K^T times scale, in panels: width x keys
  T* v_t;      ///< V^T in panels: width x keys
  T* k;        ///< K in panels: keys x width
  T *dk, *dv;  ///< keys x padded(width)
  T *q, *dy;   ///< this query tile's rows in panels: kQueryTile x width
  T *s, *dp;   ///< kQueryTile x kKeyTile: probabilities P and scaled score gradients dS
  T* dq;       ///< kQueryTile x padded(width)
  T* delta;    ///< kQueryTile: <dy, y> of each row
  std::int64_t size;

  BackwardScratch(const AttentionProblem<T>& a, T* base) {
    ScratchCursor<T> cursor(base);
    k_t = cursor.take(padded(a.keys) * a.width);
    v_t = cursor.take(padded(a.keys) * a.width);
    k = cursor.take(a.keys * padded(a.width));
    dk = cursor.take(a.keys * padded(a.width));
    dv = cursor.take(a.keys * padded(a.width));
    q = cursor.take(kQueryTile * padded(a.width));
    dy = cursor.take(kQueryTile * padded(a.width));
    s = cursor.take(kQueryTile * kKeyTile);
    dp = cursor.take(kQueryTile * kKeyTile);
    dq = cursor.take(kQueryTile * padded(a.width));
    delta = cursor.take(kQueryTile);
    size = cursor.used();
  }
};

/// The kernels of one instruction set. `scratch` has the size that the structures above measure.
template <typename T>
struct AttentionKernels {
  /// y and log_sum_exp for queries [first, last) of head h of batch b.
  void (*forward)(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, std::int64_t first,
                  std::int64_t last, T* scratch);
  /// dq, dk and dv of head h of batch b.
  void (*backward)(const AttentionProblem<T>& a, std::int64_t b, std::int64_t h, T* scratch);
};

}  // namespace fer::detail
