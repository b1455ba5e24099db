#include "fer/losses/neaa.h"

#include "fer/autograd/global_batch.h"

namespace fer {

Variable AnchorLoss::operator()(const Variable& features, const Variable& scores,
                                const Tensor& labels) const {
  const Variable all = gather_rows(features);
  const Tensor all_scores = gather_rows(scores.value()), all_labels = gather_rows(labels);
  return share_of_common(anchor_loss(all, all_scores, all_labels, skip_));
}

NeutralLoss::NeutralLoss(std::int64_t neutral) : neutral_(neutral) {
  require<ConfigError>(neutral >= 0, "the neutral loss needs the label of the neutral class, got ", neutral);
}

Variable NeutralLoss::operator()(const Variable& features, const Tensor& labels) const {
  const Variable all = gather_rows(features);
  return share_of_common(neutral_loss(all, gather_rows(labels), neutral_));
}

Variable NeAALoss::operator()(const Variable& features, const Variable& scores, const Tensor& labels) const {
  return add(anchor_(features, scores, labels), neutral_(features, labels));
}

}  // namespace fer
