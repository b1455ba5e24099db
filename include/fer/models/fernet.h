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
//   fer::FERNetOutput out = model(fer::Variable(images));
#pragma once

#include <memory>

#include "fer/formats/input_spec.h"
#include "fer/graph/compiled.h"
#include "fer/models/dual_attention.h"
#include "fer/models/ir50.h"
#include "fer/models/mobile_face_net.h"
#include "fer/models/presets.h"

namespace fer {

struct FERNetOutput {
  Variable scores;  ///< N x K
  Variable token;   ///< N x D, the features of the anchor losses
};

/// What prediction needs of a forward pass.
struct FERNetInference {
  Tensor scores;  ///< N x K
  Tensor f_lm;    ///< the landmark feature, N x h x w x Cl
};

/// Intermediate values of a forward pass, for figures. The caller may set AttentionTrace::full_last_block.
struct FERNetTrace {
  Variable f_img, f_lm;
  AttentionTrace attention;
};

class FERNet : public Module {
 public:
  /// ConfigError if the configuration contradicts itself.
  explicit FERNet(const FERNetConfig& config);
  std::string describe() const override;

  /// x: N x S x S x 3, normalised (set_normalisation).
  FERNetOutput operator()(const Variable& x, FERNetTrace* trace = nullptr);

  /// The same in evaluation mode, without gradients, by a compiled graph. It is traced again if a weight
  /// changes, and dropped by train().
  FERNetInference infer(const Tensor& x);

  // The same step by step, for Grad-CAM and figures.
  /// The landmark feature. Once the backbone is frozen, a compiled graph computes it; it is traced again if
  /// the backbone's values change.
  Variable landmark_features(const Variable& x);
  Variable image_features(const Variable& x) { return image_backbone_(x); }
  FERNetOutput classify(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace = nullptr);
  /// From f_fusion on.
  FERNetOutput classify_fused(const Variable& fused, const Variable& f_lm, AttentionTrace* trace = nullptr);
  /// 68 (x, y) in [0, 1] of the image, N x 136. ConfigError if the backbone has no head.
  Variable landmarks(const Variable& x);

  /// The landmark backbone always stays in evaluation mode, so that its running statistics do not drift.
  void train(bool mode = true) override;
  /// The landmark backbone's parameters no longer require gradients.
  void freeze_landmarks();
  bool landmarks_frozen() const;

  /// How the input is normalised (default: ImageNet's statistics); `landmark_unit_input` undoes it.
  void set_normalisation(const Normalisation& normalisation);
  const Normalisation& normalisation() const { return normalisation_; }
  /// The graph of the frozen landmark backbone that landmark_features() ran last; null before.
  const Graph* landmark_graph() const { return frozen_landmarks_.graph(); }
  /// Recomputes stages and blocks in backward instead of keeping their activations.
  void set_checkpointing(bool on);

  const FERNetConfig& config() const { return config_; }
  IRBackbone& image_backbone() { return image_backbone_; }
  MobileFaceNet& landmark_backbone() { return landmark_backbone_; }
  DualAttention& attention() { return attention_; }
  Linear& head() { return head_; }

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
  Compiled inference_, frozen_landmarks_;
};

}  // namespace fer
