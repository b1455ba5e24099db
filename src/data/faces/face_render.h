// The steps of drawing one face: the surroundings behind the head, the head's surface, the features painted
// on its skin, objects in front of it, and the camera.
#pragma once

#include <array>
#include <vector>

#include "data/faces/face_canvas.h"
#include "data/faces/face_geometry.h"
#include "fer/data/faces.h"

namespace fer::detail {

/// Where hair grows: above the hairline, whose height y depends on the angle about the head's axis.
class HairModel {
 public:
  explicit HairModel(const FaceIdentity& identity, float phase);

  /// Hair covers the scalp at (angle, y) if y is less than this (higher up). Angle in radians, 0 at the
  /// front.
  float line(float angle) const;
  /// How far hair stands off the scalp.
  float lift(float angle, float y) const;
  /// 0 skin to 1 hair.
  float cover(float angle, float y) const;
  /// Brightness of the strand at (angle, y), about 1.
  float strand(float angle, float y) const;
  bool present() const { return identity_.hair_style != HairStyle::bald; }
  bool is_long() const {
    return identity_.hair_style == HairStyle::long_parted || identity_.hair_style == HairStyle::long_fringe;
  }

 private:
  const FaceIdentity& identity_;
  float phase_;
  std::array<float, 64> line_;
};

/// The visible part of the head's surface at each pixel.
struct HeadBuffer {
  struct Pixel {
    float coverage = 0;
    Vec3 normal;             ///< +z is towards the viewer
    float angle = 0, y = 0;  ///< on the resting surface
  };
  int size = 0;
  std::vector<Pixel> pixels;
};

/// 2 x 2 samples per pixel: how near the surface is, and which triangle is in front (-1: none).
struct DepthBuffer {
  int width = 0;
  std::vector<float> depth;
  std::vector<std::int32_t> triangle;
};

/// Working memory of drawing, which each thread keeps from face to face.
struct FaceWorkspace {
  explicit FaceWorkspace(int size);

  Canvas scene;   ///< radiance
  Canvas albedo;  ///< of the head, under even light
  Canvas shade;   ///< light on the head
  Canvas gloss;   ///< light reflected by the head's surface
  HeadBuffer head;
  DepthBuffer depth;
};

/// Fills workspace.head.
void rasterize_head(const HeadGeometry& geometry, const HairModel& hair, FaceWorkspace& workspace);

class FaceRenderer {
 public:
  FaceRenderer(const FaceParameters& parameters, FaceWorkspace& workspace);
  Face draw();

 private:
  // face_surroundings.cpp
  void draw_background();
  void draw_neck();
  void draw_ears(bool in_front);
  void draw_back_hair();
  void draw_front_hair();
  // face_skin.cpp
  void shade_head();
  void paint_skin();
  void paint_wrinkles();
  void paint_beard();
  void composite_head();
  // face_paint.cpp
  void paint_brows();
  void paint_eye(int side);
  void paint_nose();
  void paint_mouth();
  void draw_eye_lights();
  // face_covers.cpp
  void draw_glasses();
  void draw_occlusion();
  // face_render.cpp
  Image expose();

  Rgb light_at(Vec3 normal) const;
  float px(float units) const { return units * geometry_.unit(); }
  Point2 at(float x, float y) const { return geometry_.place(x, y); }
  /// Brightness of the strands across a lock of hair.
  Rgb strand_colour(float across, float along) const;

  const FaceParameters& p_;
  int size_, steps_;
  float phase_;  ///< shifts the noise between pictures
  HeadGeometry geometry_;
  HairModel hair_;
  Vec3 light_, half_;
  Rgb key_, ambient_;
  Canvas &scene_, &albedo_, &shade_, &gloss_;
  HeadBuffer& head_;
  FaceWorkspace& workspace_;
};

}  // namespace fer::detail
