// PreparedAttention: the first block of the dual attention made ready for inference without changing its
// values.
//
// Embedding (Eq. 2) and projections (Eq. 3) follow one another with nothing in between but the class token
// and the positions, so that K(E f + e) = (K E) f + K e is one matrix of the map's 256 channels (128 for the
// queries) where there were two, the second of 768 columns. What the class token becomes is the same for
// every image. Of the paper's first block that leaves 97 of 348 million multiplications an image before the
// attention, and the landmark stream is never embedded at all.
//
// Results differ by rounding alone.
#pragma once

#include "fer/models/dual_attention.h"

namespace fer {

class PreparedAttention {
 public:
  /// Reads the present values of `attention`, which has no layer norm before its projections.
  explicit PreparedAttention(DualAttention& attention);

  /// f_fusion N x h x w x Ci, f_lm N x h x w x Cl -> the tokens behind the first block, N x T x D. No
  /// gradient.
  Variable first_block(const Variable& fused, const Variable& f_lm) const;
  /// Whether the attention still has the values, type and device that it had then.
  bool is_current() const { return made_from_.is_current(); }

 private:
  /// What a linear layer, or none, makes of a stream's tokens, from the map that they are embedded from.
  class Tokens {
   public:
    Tokens() = default;
    Tokens(const DualAttention::Stream& stream, const Linear* layer);
    /// marked: N x T x C + 1, as mark() makes it -> N x T x D.
    Variable operator()(const Variable& marked) const;

   private:
    PreparedConv2d layer_;
    Variable positions_;  // 1 x T x D, or undefined
  };
  /// The pixels of a map N x h x w x C as rows, behind one for the class token, which a channel of its own
  /// marks: N x T x C + 1.
  static Variable mark(const Variable& map);

  BlockList* blocks_;
  CrossAttentionBlock* block_;
  bool cross_;
  Tokens t_, q_, k_, v_;
  Snapshot made_from_;
};

}  // namespace fer
