// PreparedLandmarkNet: MobileFaceNet up to f_lm, made ready for inference without changing its values.
//
//  - Batch norms are folded into the weights and biases of their convolutions.
//  - Channels that are always zero (no weight, no bias left after the fold, so that PReLU keeps them at zero)
//    are left out, with the weights that would read them; so are hidden channels that nobody reads. A channel
//    with a constant value other than zero is left out only where a 1x1 convolution reads it, whose bias
//    takes the constant over; in front of a padded convolution, which sees zeros at the border, it stays. The
//    channels that a residual stack adds up stay if any of its summands has them; all of f_lm's stay.
//
// The public checkpoint keeps 0.052 of its 0.195 GMAC. Results differ by rounding alone.
#pragma once

#include <vector>

#include "fer/models/mobile_face_net.h"

namespace fer {

class PreparedLandmarkNet {
 public:
  /// Reads the net's present values. On the net's device and in its type.
  explicit PreparedLandmarkNet(MobileFaceNet& net);

  /// x: N x H x W x 3 -> f_lm, N x H/8 x W/8 x 2 width. No gradient.
  Variable features(const Variable& x) const;
  /// Whether the net it was made from still has the values, type and device that it had then.
  bool is_current() const { return made_from_.is_current(); }

  std::int64_t channels_before() const { return channels_before_; }  ///< output channels of all convolutions
  std::int64_t channels_kept() const { return channels_kept_; }

 private:
  struct Block {
    PreparedConv2d conv, conv_dw, project;
    bool residual = false;
  };
  class Builder;

  PreparedConv2d conv1_, conv2_dw_;
  std::vector<Block> blocks_;
  Snapshot made_from_;
  std::int64_t channels_before_ = 0, channels_kept_ = 0;
};

}  // namespace fer
