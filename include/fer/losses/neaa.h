// The neutral-aware anchor loss (section 3.2). It pulls the samples of one expression toward the most certain
// of them (the anchor), and the neutral samples toward each other.
//
// features are the class tokens, N x D; Dist is the mean over D of the squared difference.
// In a GlobalBatch the anchors and the neutral samples are those of the whole batch, and a loss is this
// rank's share.
#pragma once

#include "fer/autograd/ops.h"

namespace fer {

/// Eq. 7: sum, over the classes present, of the mean Dist from the class's samples to its anchor, the sample
/// of least entropy (Eq. 6). The gradient flows to the anchor too, but not through its selection.
class AnchorLoss {
 public:
  /// Leaves out the class `skip`, which makes it Eq. 8; -1: no class.
  explicit AnchorLoss(std::int64_t skip = -1) : skip_(skip) {}
  /// scores: N x K; labels: int64 N.
  Variable operator()(const Variable& features, const Variable& scores, const Tensor& labels) const;

 private:
  std::int64_t skip_;
};

/// Eq. 9: Dist summed over all ordered pairs of neutral samples, divided by (N_n - 1)^2; zero for fewer than
/// two.
class NeutralLoss {
 public:
  /// ConfigError if `neutral` is negative.
  explicit NeutralLoss(std::int64_t neutral);
  Variable operator()(const Variable& features, const Tensor& labels) const;

 private:
  std::int64_t neutral_;
};

/// Eq. 10: AnchorLoss without the neutral class, plus NeutralLoss.
class NeAALoss {
 public:
  explicit NeAALoss(std::int64_t neutral) : anchor_(neutral), neutral_(neutral) {}
  Variable operator()(const Variable& features, const Variable& scores, const Tensor& labels) const;

 private:
  AnchorLoss anchor_;
  NeutralLoss neutral_;
};

}  // namespace fer
