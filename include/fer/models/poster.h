// POSTER (Zheng et al. 2022), the paper's rival: image and landmark features attend to each other at three
// widths.
//
//   image N x 224 x 224 x 3, of which every second pixel is seen
//     -> landmark backbone (frozen)  7 x 7 x 512                        -> 49 landmark tokens of 512
//     -> image backbone             14 x 14 x 256 -> 49 x 1024 -> linear -> 49 image tokens of 512
//   each stream with its mean in front: 100 tokens, at the widths 512, 256 and 128
//     -> 8 blocks: at each width, queries of one stream look at the other; the narrow feed the wide
//     -> the image stream's mean token -> gate -> linear -> K scores
//
// Parameters have the names and shapes of the authors' checkpoints (formats/matching.h, poster_names()):
// face_landback, ir_back, ir_layer, pyramid_fuse, se_block, head.linear. Convolutions over tokens keep
// PyTorch's weights of rank 3, which no layout rule applies to.
//
//   fer::PosterConfig config;
//   config.classes = 8;
//   fer::Poster model(config);
//   model.freeze_landmarks();
//   fer::NetworkOutput out = model(fer::Variable(images));
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "fer/models/ir50.h"
#include "fer/models/mobile_face_net.h"
#include "fer/models/network.h"

namespace fer {

/// The defaults are the authors' "large"; their "base" has a depth of 6, "small" of 4.
struct PosterConfig : NetworkConfig {
  static constexpr bool for_faces = true;
  MobileFaceNetConfig* landmark_net() { return &landmarks; }
  void switch_off_dropout() { drop_path = 0; }

  PosterConfig() { image_size = 224; }          // a multiple of backbone_size
  std::int64_t backbone_size = 112;             ///< side of what the backbones see, a multiple of 16
  IRBackboneConfig image{};                     ///< strides multiply to 8
  MobileFaceNetConfig landmarks{.head = true};  ///< always with its head
  std::int64_t heads = 8;                       ///< divides dim() / 4
  std::int64_t depth = 8;                       ///< blocks
  std::int64_t mlp_ratio = 2;                   ///< hidden width of an MLP over its tokens' width
  double drop_path = 0.1;  ///< rate of the last block's dropped branches; the first block's is 0
  /// Keep what the authors' checkpoints hold and no result depends on: IR50's embedding layer, 12.8 of
  /// their 71.8 million parameters, and a class token.
  bool unused = true;
  bool operator==(const PosterConfig&) const = default;

  /// D, the width of the tokens: the channels of the landmark map.
  std::int64_t dim() const { return 8 * landmarks.width; }
  /// Tokens of a stream without its mean.
  std::int64_t tokens() const { return (backbone_size / 16) * (backbone_size / 16); }
};

/// ConfigError, naming the field, unless a Poster can be built from it.
void validate(const PosterConfig& config);

/// A small one for tests: 64 x 64 images, 4 tokens a stream, 2 blocks.
PosterConfig tiny_poster(std::int64_t classes = 7);

/// Calls visitor(name, field, help) for every field, as that of FERNetConfig does.
template <typename Config, typename Visitor>
requires std::is_same_v<std::remove_const_t<Config>, PosterConfig>
void visit_fields(Config& config, Visitor&& visitor) {
  visitor("classes", config.classes, "number of expressions");
  visitor("image_size", config.image_size, "side of the square input image in pixels");
  visitor("backbone_size", config.backbone_size, "side of what the backbones see of it, every n-th pixel");
  visitor("stem", config.image.stem, "channels of the image backbone's stem");
  visitor("stem_stride", config.image.stem_stride, "stride of the stem");
  visitor("widths", config.image.widths, "channels of the image backbone's stages");
  visitor("units", config.image.units, "units of each stage");
  visitor("strides", config.image.strides, "stride of each stage's first unit");
  visitor("lm_width", config.landmarks.width, "width of the landmark backbone; tokens are 8 times as wide");
  visitor("lm_units", config.landmarks.units, "residual blocks of conv_3, conv_4 and conv_5");
  visitor("lm_outputs", config.landmarks.outputs, "coordinates that the landmark head gives");
  visitor("heads", config.heads, "attention heads");
  visitor("depth", config.depth, "blocks of the pyramid");
  visitor("mlp_ratio", config.mlp_ratio, "hidden width of an MLP over its tokens' width");
  visitor("drop_path", config.drop_path, "rate of the last block's dropped branches");
  visitor("unused", config.unused, "keep the parameters of public checkpoints that no result depends on");
}

class PyramidFusion;
class FeatureGate;

class Poster : public Network {
 public:
  /// ConfigError if the configuration contradicts itself.
  explicit Poster(const PosterConfig& config = {});
  std::string describe() const override;

  /// The token is the gated feature of D values. ShapeError for images of another size.
  NetworkOutput forward(const Variable& x) override;

  /// "stage1", "stage2", ... of the image backbone.
  std::vector<std::string> layers() const override;
  Variable map_of(const std::string& layer, const Variable& x) override;
  Variable scores_from(const std::string& layer, const Variable& map, const Variable& x) override;

  // The forward pass step by step.
  /// N x 2h x 2w x C.
  Variable image_features(const Variable& x);
  NetworkOutput classify(const Variable& f_img, const Variable& f_lm);

  /// Recomputes the image backbone's stages and the blocks.
  void set_checkpointing(bool on) override;

  const PosterConfig& config() const override { return config_; }
  const char* kind() const override { return "poster"; }
  NameMap public_names() const override { return poster_names(); }
  /// The landmark head reads maps of 7 x 7.
  bool has_points() const override { return config_.backbone_size == 112; }
  Linear& head() override { return *head_; }
  /// It stays in evaluation mode while the network trains; the authors' statistics drift.
  MobileFaceNet* landmark_net() override { return &landmark_backbone_; }
  IRBackbone* pretrainable() override { return &image_backbone_; }

 protected:
  std::vector<Variable> inference(const Variable& x) override;
  Variable points_of(const std::vector<Tensor>& results) override;
  /// N x h x w x D.
  Variable compute_landmark_features(const Variable& x) override;

 private:
  /// What the backbones see of x.
  Variable reduced(const Variable& x) const;
  /// The number of a layer "stage2"; ConfigError if there is no such stage.
  std::size_t stage_number(const std::string& layer) const;

  PosterConfig config_;
  MobileFaceNet& landmark_backbone_;
  IRBackbone& image_backbone_;
  Linear& ir_layer_;
  PyramidFusion& pyramid_;
  FeatureGate& gate_;
  Linear* head_;
};

}  // namespace fer
