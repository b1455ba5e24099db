#include "fer/losses/classification.h"

#include "fer/autograd/global_batch.h"

namespace fer {

CrossEntropyLoss::CrossEntropyLoss(double label_smoothing) : label_smoothing_(label_smoothing) {
  require<ConfigError>(label_smoothing >= 0.0 && label_smoothing < 1.0, "label smoothing ", label_smoothing,
                       " is outside of [0, 1)");
}

Variable CrossEntropyLoss::operator()(const Variable& scores, const Tensor& labels) const {
  return share_of_mean(cross_entropy(scores, labels, label_smoothing_));
}

Variable CrossEntropyLoss::soft(const Variable& scores, const Tensor& target) const {
  if (label_smoothing_ == 0.0) return share_of_mean(soft_cross_entropy(scores, Variable(target)));
  Tensor smoothed = Tensor::empty_like(target);
  Backend& device = backend_of(target);
  device.scale(target, 1.0 - label_smoothing_, smoothed);
  const double share = label_smoothing_ / static_cast<double>(target.shape().channels());
  device.accumulate(Tensor::full(target.shape(), 1.0, target.dtype(), target.device()), share, smoothed);
  return share_of_mean(soft_cross_entropy(scores, Variable(smoothed)));
}

}  // namespace fer
