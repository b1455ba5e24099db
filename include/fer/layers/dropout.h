// Dropout: in training, zeroes each element, or each sample, with probability p and scales the rest by
// 1 / (1 - p). By sample, on the branch of a residual block, it is stochastic depth ("drop path").
//
// The mask is drawn from RandomScope::key(fnv1a64(path of the module)). Inside a RandomScope it depends on
// the run's seed, the step and the layer, so it is the same on every device, after a resume, and when a
// checkpointed stage is recomputed. Outside of any scope, each call draws a new mask.
#pragma once

#include "fer/layers/module.h"
#include "fer/tensor/backend.h"

namespace fer {

class Dropout : public Layer {
 public:
  /// ConfigError unless 0 <= p < 1.
  explicit Dropout(double p, DropoutMask mask = DropoutMask::element);

  std::string describe() const override;
  Variable forward(const Variable& x) override;
  double p() const { return p_; }
  /// Whether it has an effect: in training, with p > 0.
  bool is_active() const { return is_training() && p_ > 0.0; }

 private:
  double p_;
  DropoutMask mask_;
};

}  // namespace fer
