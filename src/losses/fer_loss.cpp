#include "fer/losses/fer_loss.h"

#include "fer/autograd/global_batch.h"
#include "fer/nearest.h"

#include <cmath>

namespace fer {

std::string_view name_of(AuxiliaryLoss kind) {
  switch (kind) {
    case AuxiliaryLoss::none:
      return "none";
    case AuxiliaryLoss::anchor:
      return "anchor";
    case AuxiliaryLoss::neaa:
      return "neaa";
  }
  throw ConfigError("not an auxiliary loss");
}

AuxiliaryLoss parse_auxiliary_loss(std::string_view text) {
  for (const AuxiliaryLoss kind : {AuxiliaryLoss::none, AuxiliaryLoss::anchor, AuxiliaryLoss::neaa}) {
    if (text == name_of(kind)) return kind;
  }
  throw ConfigError(unknown_name("auxiliary loss", text, {"none", "anchor", "neaa"}));
}

FERLoss::FERLoss(const FERLossConfig& config) : config_(config), cross_entropy_(config.label_smoothing) {
  require<ConfigError>(std::isfinite(config.weight) && config.weight >= 0.0,
                       "the weight of the auxiliary loss is ", config.weight, "; it must be 0 or more");
  require<ConfigError>(config.auxiliary != AuxiliaryLoss::neaa || config.neutral >= 0,
                       "the NeAA loss needs the label of the neutral class; a data set without one can use "
                       "the auxiliary loss 'anchor' or 'none'");
}

FERLossParts FERLoss::operator()(const Variable& scores, const Variable& token, const Tensor& labels,
                                 const Tensor& soft_target) const {
  FERLossParts parts;
  parts.cross_entropy =
      soft_target.defined() ? cross_entropy_.soft(scores, soft_target) : cross_entropy_(scores, labels);
  if (config_.auxiliary == AuxiliaryLoss::none) {
    parts.total = parts.cross_entropy;
    return parts;
  }
  const bool neaa = config_.auxiliary == AuxiliaryLoss::neaa;
  const Variable tokens = gather_rows(token);
  const Tensor all_scores = gather_rows(scores.value()), all_labels = gather_rows(labels);
  parts.anchor = share_of_common(anchor_loss(tokens, all_scores, all_labels, neaa ? config_.neutral : -1));
  Variable auxiliary = parts.anchor;
  if (neaa) {
    parts.neutral = share_of_common(neutral_loss(tokens, all_labels, config_.neutral));
    auxiliary = add(parts.anchor, parts.neutral);
  }
  parts.total = add(parts.cross_entropy, scale(auxiliary, config_.weight));
  return parts;
}

}  // namespace fer
