// FERNet: the paper's model, from an image to class scores.
//
//   image N x 112 x 112 x 3 -> landmark backbone (frozen) -> f_lm  14 x 14 x 128 -+
//                           -> image backbone             -> f_img 14 x 14 x 256 -+-> dual attention
//                                                   class token 768 -> linear -> K scores
//
//   fer::FERNet model(fer::preset("small", /*classes=*/8));
//   model.initialise(/*seed=*/1);
//   model.freeze_landmarks();
//   model.train();
//   fer::NetworkOutput out = model(fer::Variable(images));
#pragma once

#include "fer/models/dual_attention.h"
#include "fer/models/ir50.h"
#include "fer/models/mobile_face_net.h"
#include "fer/models/network.h"
#include "fer/models/presets.h"

namespace fer {

/// Intermediate values of a forward pass, for figures. The caller may set AttentionTrace::full_last_block.
struct FERNetTrace {
  Variable f_img, f_lm;
  AttentionTrace attention;
};

class FERNet : public Network {
 public:
  /// ConfigError if the configuration contradicts itself.
  explicit FERNet(const FERNetConfig& config);
  std::string describe() const override;

  /// x: N x S x S x 3, normalised (set_normalisation).
  NetworkOutput operator()(const Variable& x, FERNetTrace* trace = nullptr);
  NetworkOutput forward(const Variable& x) override { return (*this)(x); }

  /// "stage1", "stage2", ... of the image backbone, "f_img" (its result, before the attention) and "f_fusion"
  /// (after the dot-product attention).
  std::vector<std::string> layers() const override;
  Variable map_of(const std::string& layer, const Variable& x) override;
  Variable scores_from(const std::string& layer, const Variable& map, const Variable& x) override;

  // The forward pass step by step, for figures.
  Variable image_features(const Variable& x) { return image_backbone_(x); }
  NetworkOutput classify(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace = nullptr);
  /// From f_fusion on.
  NetworkOutput classify_fused(const Variable& fused, const Variable& f_lm, AttentionTrace* trace = nullptr);
  /// 68 (x, y) in [0, 1] of the image, N x 136. ConfigError if the backbone has no head.
  Variable landmarks(const Variable& x);

  /// `landmark_unit_input` undoes the normalisation.
  void set_normalisation(const Normalisation& normalisation) override;
  const Normalisation& normalisation() const { return normalisation_; }
  /// Recomputes stages and blocks.
  void set_checkpointing(bool on) override;

  const FERNetConfig& config() const override { return config_; }
  const char* kind() const override { return "fernet"; }
  NameMap public_names() const override { return fernet_names(); }
  bool has_points() const override { return config_.landmarks.head; }
  IRBackbone& image_backbone() { return image_backbone_; }
  MobileFaceNet& landmark_backbone() { return landmark_backbone_; }
  DualAttention& attention() { return attention_; }
  Linear& head() override { return head_; }
  MobileFaceNet* landmark_net() override { return &landmark_backbone_; }
  IRBackbone* pretrainable() override { return &image_backbone_; }

 protected:
  std::vector<Variable> inference(const Variable& x) override;
  Variable points_of(const std::vector<Tensor>& results) override;
  Variable compute_landmark_features(const Variable& x) override;

 private:
  /// The landmark backbone's input: x, or with `landmark_unit_input` x converted back to RGB in [0, 1].
  Variable landmark_input(const Variable& x);

  FERNetConfig config_;
  Normalisation normalisation_;
  Variable unit_scale_, unit_shift_;  ///< of landmark_unit_input, on the device of the last input
  IRBackbone& image_backbone_;
  MobileFaceNet& landmark_backbone_;
  DualAttention& attention_;
  Linear& head_;
};

}  // namespace fer
