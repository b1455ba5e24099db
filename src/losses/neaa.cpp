#include "fer/losses/neaa.h"

namespace fer {

Variable AnchorLoss::operator()(const Variable& features, const Variable& scores,
                                const Tensor& labels) const {
  return anchor_loss(features, scores.value(), labels, skip_);
}

NeutralLoss::NeutralLoss(std::int64_t neutral) : neutral_(neutral) {
  require<ConfigError>(neutral >= 0, "the neutral loss needs the label of the neutral class, got ", neutral);
}

Variable NeutralLoss::operator()(const Variable& features, const Tensor& labels) const {
  return neutral_loss(features, labels, neutral_);
}

Variable NeAALoss::operator()(const Variable& features, const Variable& scores, const Tensor& labels) const {
  return add(anchor_(features, scores, labels), neutral_(features, labels));
}

}  // namespace fer
