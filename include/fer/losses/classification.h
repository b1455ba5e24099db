// Losses on the class scores, N x K.
#pragma once

#include "fer/autograd/ops.h"

namespace fer {

/// Mean over the batch of -sum_k t_k log softmax(scores)_k; in a GlobalBatch, this rank's share of that.
class CrossEntropyLoss {
 public:
  /// label_smoothing in [0, 1): t = (1 - smoothing) onehot(label) + smoothing / K.
  explicit CrossEntropyLoss(double label_smoothing = 0.0);

  /// labels: int64 N.
  Variable operator()(const Variable& scores, const Tensor& labels) const;
  /// target: N x K, one distribution per row (e.g. votes divided by their sum); smoothed like the labels.
  Variable soft(const Variable& scores, const Tensor& target) const;

  double label_smoothing() const { return label_smoothing_; }

 private:
  double label_smoothing_;
};

}  // namespace fer
