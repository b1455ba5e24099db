// ResNet with basic blocks (He et al., 2015: 18 and 34 layers): a classifier for any pictures, not only faces.
//
//   image N x 224 x 224 x 3
//     -> conv1 7x7 s2, norm, ReLU, max pool 3x3 s2    56 x 56 x 64
//     -> layer1 .. layer4: blocks of two 3x3          56 x 56 x 64, 28 x 28 x 128, 14 x 14 x 256, 7 x 7 x 512
//     -> mean over the pixels, fc                     512 -> K scores
//
// Parameter names and shapes are torchvision's, so its weights load: conv1, bn1, layer1.0.conv1,
// layer2.0.downsample.0, fc.
#pragma once

#include <vector>

#include "fer/models/network.h"

namespace fer {

struct MobileFaceNetConfig;

struct ResNetConfig : NetworkConfig {
  static constexpr bool for_faces = false;
  MobileFaceNetConfig* landmark_net() { return nullptr; }
  void switch_off_dropout() {}

  ResNetConfig() { image_size = 224; }
  std::vector<std::int64_t> widths{64, 128, 256, 512};  ///< channels of each stage
  std::vector<std::int64_t> units{2, 2, 2, 2};          ///< blocks of each stage; ResNet-34: 3, 4, 6, 3
  bool operator==(const ResNetConfig&) const = default;
};
/// ConfigError, naming the field, unless a ResNet can be built from it.
void validate(const ResNetConfig& config);

/// As for FERNetConfig.
template <typename Config, typename Visitor>
requires std::is_same_v<std::remove_const_t<Config>, ResNetConfig>
void visit_fields(Config& config, Visitor&& visitor) {
  visitor("classes", config.classes, "number of classes");
  visitor("image_size", config.image_size, "side of the square input image in pixels");
  visitor("widths", config.widths, "channels of each stage");
  visitor("units", config.units, "blocks of each stage");
}

/// relu(bn2(conv2(relu(bn1(conv1(x))))) + x). If the shape changes, x passes a 1x1 convolution and a norm.
class BasicBlock : public Layer {
 public:
  BasicBlock(std::int64_t in, std::int64_t out, int stride);
  std::string describe() const override;
  /// x: N x H x W x in; y: N x ceil(H / stride) x ceil(W / stride) x out.
  Variable forward(const Variable& x) override;

 private:
  std::int64_t in_, out_;
  int stride_;
  Conv2d& conv1_;
  BatchNorm& bn1_;
  Conv2d& conv2_;
  BatchNorm& bn2_;
  Sequential* downsample_ = nullptr;
};

class ResNet : public Network {
 public:
  explicit ResNet(const ResNetConfig& config);
  std::string describe() const override;

  /// The token is the mean over the pixels of the last stage.
  NetworkOutput forward(const Variable& x) override;

  /// "layer1", "layer2", ...
  std::vector<std::string> layers() const override;
  Variable map_of(const std::string& layer, const Variable& x) override;
  Variable scores_from(const std::string& layer, const Variable& map, const Variable& x) override;

  const ResNetConfig& config() const override { return config_; }
  const char* kind() const override { return "resnet"; }
  NameMap public_names() const override { return {"ResNet (torchvision)", {}, {}}; }
  Linear& head() override { return fc_; }
  /// Recomputes blocks.
  void set_checkpointing(bool on) override { checkpointing_ = on; }

 private:
  /// The number of stages up to and including that layer; ConfigError for an unknown one.
  std::size_t stage_end(const std::string& layer) const;
  Variable stem(const Variable& x);
  Variable run(const Variable& x, std::size_t begin, std::size_t end);
  NetworkOutput classify(const Variable& map);

  ResNetConfig config_;
  bool checkpointing_ = false;
  Conv2d& conv1_;
  BatchNorm& bn1_;
  std::vector<Sequential*> stages_;
  Linear& fc_;
};

}  // namespace fer
