// Shared by the attention kernels (attention-inl.h, compiled once per instruction set) and their callers
// (attention.cpp): the problem, tile sizes, and the layout of a thread's scratch memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tensor/score_operand.h"

namespace fer::detail {

// Threads get queries in multiples of this number, which is a whole number of panels on every instruction
// set.
inline constexpr std::int64_t kQueryTile = 32;
// A panel's scores over a tile of keys, 32 KB of floats at most, fit in the first-level cache, or nearly.
inline constexpr std::int64_t kKeyTile = 256;
// With so few queries, such as a lone class token, packing the keys and values does not pay.
inline constexpr std::int64_t kFewQueries = 2;
// The widest panel of any instruction set. Buffers are padded to it.
inline constexpr std::int64_t kMaxPanel = 32;

inline std::int64_t padded(std::int64_t n) {
  return (n + kMaxPanel - 1) / kMaxPanel * kMaxPanel;
}

/// Keys per tile: kKeyTile at most, split evenly so that no small remainder is left.
inline std::int64_t key_tile(std::int64_t keys) {
  const std::int64_t tiles = (keys + kKeyTile - 1) / kKeyTile;
  return (keys + tiles - 1) / std::max<std::int64_t>(tiles, 1);
}

/// One call of attention. Row i of batch b and head h of a tensor with T rows begins at
/// (b * T + i) * dim + h * width.
template <typename T>
struct AttentionProblem {
  std::int64_t batch, queries, keys, dim, heads, width;  ///< width = dim / heads
  T scale;                                               ///< 1 / sqrt(width)
  const T *q, *k, *v;
  T *y, *log_sum_exp;                         ///< written by forward
  const T *saved_y, *saved_log_sum_exp, *dy;  ///< read by backward
  T *dq, *dk, *dv;                            ///< written by backward
  ScoreOperand<T> bias;                       ///< added to the scaled scores
  ScoreOperand<std::uint8_t> mask;            ///< 0: the score is -infinity
  T* dscores;                                 ///< N x heads x Tq x Tk: the bias's gradient; or null

  /// Whether scores are changed before the softmax, perhaps to -infinity.
  bool biased() const { return bias.data || mask.data; }
  std::int64_t query_offset(std::int64_t b, std::int64_t h) const { return b * queries * dim + h * width; }
  std::int64_t key_offset(std::int64_t b, std::int64_t h) const { return b * keys * dim + h * width; }
  std::int64_t sum_offset(std::int64_t b, std::int64_t h) const { return (b * heads + h) * queries; }
};

/// Hands out 64-byte aligned parts of a block. With a null block it only measures the size.
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

// The panels below have room for kMaxPanel queries; kPanel of them are used.

template <typename T>
struct ForwardScratch {
  T* q_t;  ///< width x panel: Q^T of the head times scale
  T* s;    ///< keys of a tile x panel: scores, then their exponentials; or all scores of one query
  T* o;    ///< width x panel: the unnormalised output
  T* max;  ///< panel: greatest score of each query so far
  T* sum;  ///< panel: its softmax denominator so far
  std::int64_t size;

  ForwardScratch(const AttentionProblem<T>& a, T* base) {
    ScratchCursor<T> cursor(base);
    q_t = cursor.take(a.width * kMaxPanel);
    s = cursor.take(std::max(key_tile(a.keys) * kMaxPanel, a.keys));
    o = cursor.take(a.width * kMaxPanel);
    max = cursor.take(kMaxPanel);
    sum = cursor.take(kMaxPanel);
    size = cursor.used();
  }
};

template <typename T>
struct BackwardScratch {
  T *q_t, *dy_t;  ///< width x panel: Q^T times scale, and dY^T
  T *q, *dy;      ///< the panel's rows of Q and dY, packed by pack_panels: queries x width
  T *s, *dp;   ///< keys of a tile x panel: probabilities P^T and scaled score gradients dS^T; or of one query
  T *dk, *dv;  ///< keys x padded(width)
  T* dq;       ///< width x panel
  T* delta;    ///< panel: <dy, y> of each query
  T* log_sum_exp;  ///< panel
  std::int64_t size;

  BackwardScratch(const AttentionProblem<T>& a, T* base) {
    ScratchCursor<T> cursor(base);
    q_t = cursor.take(a.width * kMaxPanel);
    dy_t = cursor.take(a.width * kMaxPanel);
    q = cursor.take(kMaxPanel * padded(a.width));
    dy = cursor.take(kMaxPanel * padded(a.width));
    s = cursor.take(std::max(key_tile(a.keys) * kMaxPanel, a.keys));
    dp = cursor.take(std::max(key_tile(a.keys) * kMaxPanel, a.keys));
    dk = cursor.take(a.keys * padded(a.width));
    dv = cursor.take(a.keys * padded(a.width));
    dq = cursor.take(a.width * kMaxPanel);
    delta = cursor.take(kMaxPanel);
    log_sum_exp = cursor.take(kMaxPanel);
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
