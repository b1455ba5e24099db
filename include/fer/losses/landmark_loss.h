// Losses for training the landmark net on points: N x 136 predictions, 68 (x, y) in [0, 1] of the image.
#pragma once

#include <string_view>

#include "fer/autograd/ops.h"

namespace fer {

/// mse: d^2. smooth_l1: d^2 / (2 beta) where |d| < beta, |d| - beta / 2 beyond.
enum class LandmarkLossKind { mse, smooth_l1 };
std::string_view name_of(LandmarkLossKind kind);
/// "mse" or "smooth_l1"; anything else is a ConfigError that lists them.
LandmarkLossKind parse_landmark_loss(std::string_view text);

class LandmarkLoss {
 public:
  /// ConfigError unless beta > 0.
  explicit LandmarkLoss(LandmarkLossKind kind = LandmarkLossKind::smooth_l1, double beta = 0.02);

  /// The mean over all coordinates; in a GlobalBatch, this rank's share of that. points and target must have
  /// the same shape.
  Variable operator()(const Variable& points, const Tensor& target) const;

 private:
  LandmarkLossKind kind_;
  double beta_;
};

/// The usual normalised mean error: mean distance of the points, divided by the distance of the outer eye
/// corners (points 36 and 45 of 68). points and target: N x 136, on any device, float32 or float64.
double normalised_mean_error(const Tensor& points, const Tensor& target);

}  // namespace fer
