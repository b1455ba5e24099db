// The landmark backbone: MobileFaceNet up to its 14 x 14 map, and optionally on to 68 landmarks.
//
//   image N x 112 x 112 x 3
//     -> conv1 3x3 s2, conv2_dw 3x3                   56 x 56 x 64
//     -> conv_23 (s2), conv_3: 4 residual             28 x 28 x 64
//     -> conv_34 (s2), conv_4: 6 residual             14 x 14 x 128      the landmark feature f_lm
//     -> head: conv_45 (s2), conv_5, conv_6_sep       7 x 7 x 512
//     -> depthwise 7x7, linear, batch norm            136 = 68 (x, y) in [0, 1]
//
// Parameter names are those of the public checkpoint of pytorch_face_landmark.
#pragma once

#include <vector>

#include "fer/layers/layers.h"

namespace fer {

/// Convolution, batch norm and, unless it is a projection, PReLU.
class ConvBlock : public Layer {
 public:
  ConvBlock(std::int64_t in, std::int64_t out, int kernel, int stride, std::int64_t groups, bool prelu,
            int padding);
  std::string describe() const override;
  Variable forward(const Variable& x) override;

  Conv2d& conv() const { return conv_; }
  BatchNorm& bn() const { return bn_; }
  const PReLU* prelu() const { return prelu_; }  ///< null for a projection

 private:
  Conv2d& conv_;
  BatchNorm& bn_;
  PReLU* prelu_ = nullptr;
};

/// 1x1 to `hidden` channels, depthwise 3x3 with the stride, 1x1 to `out` without activation. A residual block
/// adds its input; nothing follows the sum.
class DepthWise : public Layer {
 public:
  DepthWise(std::int64_t in, std::int64_t out, std::int64_t hidden, int stride, bool residual);
  std::string describe() const override;
  Variable forward(const Variable& x) override;

  ConvBlock& conv() const { return conv_; }
  ConvBlock& conv_dw() const { return conv_dw_; }
  ConvBlock& project() const { return project_; }
  bool residual() const { return residual_; }

 private:
  ConvBlock& conv_;
  ConvBlock& conv_dw_;
  ConvBlock& project_;
  bool residual_;
};

/// Residual DepthWise blocks in sequence, as children model.0, model.1, ...
class ResidualStack : public Layer {
 public:
  ResidualStack(std::int64_t channels, std::int64_t count, std::int64_t hidden);
  std::string describe() const override { return "ResidualStack"; }
  Variable forward(const Variable& x) override { return model_(x); }

  std::vector<DepthWise*> blocks() const { return blocks_; }

 private:
  Sequential& model_;
  std::vector<DepthWise*> blocks_;
};

/// Depthwise convolution over the whole map, linear, batch norm: the points.
class LandmarkHead : public Layer {
 public:
  LandmarkHead(std::int64_t channels, std::int64_t outputs);
  std::string describe() const override { return "LandmarkHead"; }
  /// x: N x 7 x 7 x channels; y: N x outputs. ShapeError if the map is not 7 x 7.
  Variable forward(const Variable& x) override;

 private:
  ConvBlock& conv_6_dw_;
  Linear& linear_;
  BatchNorm& bn_;
};

struct MobileFaceNetConfig {
  std::int64_t width = 64;                   ///< f_lm has twice as many channels
  std::vector<std::int64_t> units{4, 6, 2};  ///< residual blocks of conv_3, conv_4 and conv_5 (the head's)
  bool head = false;                         ///< include the layers from f_lm to landmarks
  std::int64_t outputs = 136;                ///< coordinates that the head outputs
  bool operator==(const MobileFaceNetConfig&) const = default;
};
/// ConfigError, naming the field, if there are not three units or a number is not positive.
void validate(const MobileFaceNetConfig& config);

class MobileFaceNet : public Module {
 public:
  explicit MobileFaceNet(const MobileFaceNetConfig& config = {});

  std::string describe() const override;
  /// x: N x H x W x 3 -> the landmark feature f_lm, N x H/8 x W/8 x 2 width.
  Variable features(const Variable& x);
  /// f_lm -> the head's map, N x H/16 x W/16 x 8 width, from which the points are read. ConfigError without a
  /// head.
  Variable head_features(const Variable& f_lm);
  /// That map -> N x 136. ConfigError without a head.
  Variable points_of(const Variable& head_map);
  /// f_lm -> N x 136, (x, y) of 68 points in [0, 1] of the image, in the order x0 y0 x1 y1 ... ConfigError
  /// without a head; needs images of 112 x 112.
  Variable landmarks(const Variable& f_lm);
  /// landmarks(features(x)).
  Variable operator()(const Variable& x) { return landmarks(features(x)); }

  const MobileFaceNetConfig& config() const { return config_; }
  std::int64_t feature_channels() const { return 2 * config_.width; }
  std::int64_t grid(std::int64_t image_size) const;

  ConvBlock& conv1() const { return *conv1_; }

 private:
  MobileFaceNetConfig config_;
  ConvBlock* conv1_;
  ConvBlock* conv2_dw_;
  DepthWise* conv_23_;
  ResidualStack* conv_3_;
  DepthWise* conv_34_;
  ResidualStack* conv_4_;
  DepthWise* conv_45_ = nullptr;
  ResidualStack* conv_5_ = nullptr;
  ConvBlock* conv_6_sep_ = nullptr;
  LandmarkHead* output_layer_ = nullptr;
};

}  // namespace fer
