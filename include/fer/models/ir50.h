// The image backbone: IR50 ("improved residual", of ArcFace) cut after its third stage.
//
//   image N x 112 x 112 x 3
//     -> stem: conv 3x3, batch norm, PReLU           112 x 112 x 64
//     -> stages of 3, 4 and 14 units                 56 x 56 x 64, 28 x 28 x 128, 14 x 14 x 256
//
// Parameter names are those of the public checkpoints: input_layer.{0,1,2}, body.i.res_layer.{0..4},
// body.i.shortcut_layer.{0,1}.
#pragma once

#include <vector>

#include "fer/layers/layers.h"

namespace fer {

/// Batch norm, conv 3x3, PReLU, conv 3x3 with the stride, batch norm; plus the shortcut: every stride-th
/// pixel where channels agree, else conv 1x1 with the stride and batch norm. Nothing follows the sum.
class IRUnit : public Layer {
 public:
  IRUnit(std::int64_t in, std::int64_t out, int stride);
  std::string describe() const override;
  /// x: N x H x W x in; y: N x ceil(H / stride) x ceil(W / stride) x out.
  Variable forward(const Variable& x) override;

  int stride() const { return stride_; }

 private:
  std::int64_t in_, out_;
  int stride_;
  Layer* shortcut_layer_ = nullptr;
  Sequential* res_layer_ = nullptr;
  BatchNorm* norm2_ = nullptr;
};

struct IRBackboneConfig {
  std::int64_t stem = 64;                          ///< channels
  std::int64_t stem_stride = 1;                    ///< 2 for small CPU presets
  std::vector<std::int64_t> widths{64, 128, 256};  ///< channels of each stage
  std::vector<std::int64_t> units{3, 4, 14};       ///< per stage; IR100: 3-13-30, IR152: 3-8-36
  std::vector<std::int64_t> strides{2, 2, 2};      ///< of each stage's first unit
  bool operator==(const IRBackboneConfig&) const = default;
};
/// ConfigError, naming the field, if the lists differ in length or a number is not positive.
void validate(const IRBackboneConfig& config);

class IRBackbone : public Layer {
 public:
  explicit IRBackbone(const IRBackboneConfig& config = {});

  std::string describe() const override;
  /// x: N x H x W x 3; y: N x H / s x W / s x widths.back(), s the product of all strides.
  Variable forward(const Variable& x) override;

  const IRBackboneConfig& config() const { return config_; }
  /// Height or width of the map for an image of that size.
  std::int64_t grid(std::int64_t image_size) const;
  /// Recomputes each stage in backward instead of keeping its activations.
  void set_checkpointing(bool on) { checkpointing_ = on; }
  /// forward() in two parts: the stem and the first `stages` stages, and the stages that follow.
  Variable first_stages(const Variable& images, std::size_t stages);
  Variable later_stages(const Variable& map, std::size_t stages);

 private:
  Variable run_stem(const Variable& x);
  std::size_t units_in(std::size_t stages) const;
  Variable run_units(const Variable& x, std::size_t begin, std::size_t end);

  IRBackboneConfig config_;
  bool checkpointing_ = false;
  Sequential& input_layer_;
  Sequential& body_;
  BatchNorm* stem_norm_ = nullptr;
  PReLU* stem_prelu_ = nullptr;
  std::vector<IRUnit*> units_;
};

}  // namespace fer
