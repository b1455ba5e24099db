// PointsNet: the image backbone with a head that finds the 68 facial points. Pre-training it teaches the
// backbone where the parts of a face are before it learns expressions. The paper's IR50 was pre-trained on
// millions of faces; this pre-training needs only drawn faces.
//
//   fer::PointsNet net(config.image, 112);
//   net.initialise(/*seed=*/1);
//   fer::Variable points = net(images);  // N x 112 x 112 x 3 -> N x 136
#pragma once

#include "fer/models/ir50.h"

namespace fer {

/// Computes one heat map per point over the backbone's grid, and the expected position under its softmax
/// (integral regression, Sun et al., 2018). Unlike an arg-max it has a gradient. Unlike a dense layer over
/// all pixels it needs only a C x 68 matrix, so that most of the learning happens in the backbone.
class PointsNet : public Module {
 public:
  static constexpr std::int64_t points = 68;

  PointsNet(const IRBackboneConfig& config, std::int64_t image_size);

  std::string describe() const override;
  /// x: N x H x W x 3 -> N x 136, (x, y) of the points in [0, 1] of the image: x0 y0 x1 y1 ...
  Variable operator()(const Variable& x);

  IRBackbone& image_backbone() { return image_backbone_; }

 private:
  /// (x, y) of each pixel's centre, pixels x 2, with the dtype and device of `like`. Created once, because a
  /// captured step must not upload anything.
  const Variable& centres(const Variable& like);

  IRBackbone& image_backbone_;
  Linear& heat_;
  std::int64_t grid_;
  Variable centres_;
};

}  // namespace fer
