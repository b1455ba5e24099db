// FERLoss: the training loss of FERNet (Eq. 11), cross-entropy + lambda * NeAA, with its parts for the log.
//
//   fer::FERLoss loss({.neutral = 0});
//   fer::FERLossParts parts = loss(out.scores, out.token, labels);
//   parts.total.backward();
#pragma once

#include <string_view>

#include "fer/losses/classification.h"
#include "fer/losses/neaa.h"

namespace fer {

/// What is added to the cross-entropy: nothing, Eq. 7 over all classes, or Eq. 10.
enum class AuxiliaryLoss { none, anchor, neaa };
std::string_view name_of(AuxiliaryLoss kind);
/// "none", "anchor" or "neaa"; anything else is a ConfigError that lists them.
AuxiliaryLoss parse_auxiliary_loss(std::string_view text);

struct FERLossConfig {
  AuxiliaryLoss auxiliary = AuxiliaryLoss::neaa;
  double weight = 0.01;        ///< lambda of Eq. 11
  std::int64_t neutral = -1;   ///< label of the neutral class; `neaa` needs it
  double label_smoothing = 0;  ///< of the cross-entropy
};

/// In a GlobalBatch each is this rank's share: the shares of all ranks add up to the loss of the whole batch.
struct FERLossParts {
  Variable total;          ///< cross_entropy + weight * (anchor + neutral)
  Variable cross_entropy;  ///< scalar
  Variable anchor;         ///< Eq. 7 or 8, unweighted; undefined with `none`
  Variable neutral;        ///< Eq. 9, unweighted; undefined unless `neaa`
};

class FERLoss {
 public:
  /// ConfigError if `neaa` is selected without a neutral class, or if a number is out of range.
  explicit FERLoss(const FERLossConfig& config);

  /// scores: N x K, token: N x D, labels: int64 N. If `soft_target` (N x K) is given, the cross-entropy uses
  /// it as its target, and the labels serve only the anchors.
  FERLossParts operator()(const Variable& scores, const Variable& token, const Tensor& labels,
                          const Tensor& soft_target = {}) const;

  const FERLossConfig& config() const { return config_; }

 private:
  FERLossConfig config_;
  CrossEntropyLoss cross_entropy_;
};

}  // namespace fer
