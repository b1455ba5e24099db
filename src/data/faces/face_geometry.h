// The head of a drawn face as a surface: a stack of ellipses along a profile, with bumps for nose, brows,
// sockets, cheeks, lips and chin; moved by the action units; turned and projected by the pose.
//
// Head coordinates: x to the picture's right, y down, z towards the viewer. The eyes are at y = 0, the crown
// near -1, the chin near 1, the cheekbones at x = +-0.72. Features (eyes, brows, nose, mouth) are given as
// (x, y) and projected onto the surface.
#pragma once

#include <array>
#include <vector>

#include "data/faces/face_canvas.h"
#include "fer/data/faces.h"

namespace fer::detail {

struct Vec3 {
  float x = 0, y = 0, z = 0;
};
inline Vec3 operator+(Vec3 a, Vec3 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z};
}
inline Vec3 operator-(Vec3 a, Vec3 b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z};
}
inline Vec3 operator*(Vec3 a, float k) {
  return {a.x * k, a.y * k, a.z * k};
}
inline float dot(Vec3 a, Vec3 b) {
  return a.x * b.x + a.y * b.y + a.z * b.z;
}
inline Vec3 cross(Vec3 a, Vec3 b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline Vec3 normalized(Vec3 a) {
  return a * (1 / std::sqrt(std::max(dot(a, a), 1e-12f)));
}

/// Features on one side. Points are (x, y) of the head; side 1 is on the picture's right, side -1 on its
/// left.
struct EyeShape {
  Point2 center;
  float half_width = 0, upper = 0, lower = 0;  ///< opening above and below the line between the corners
  Point2 inner, outer, upper_inner, upper_outer, lower_inner, lower_outer;
};

struct MouthShape {
  float half_width = 0, line_y = 0, gap = 0;
  std::array<Point2, 12> outer;                  ///< landmarks 48-59
  std::array<Point2, 8> inner;                   ///< landmarks 60-67
  std::array<Point2, 9> upper_edge, lower_edge;  ///< of the opening, from the left corner to the right one
};

class HeadGeometry {
 public:
  HeadGeometry(const FaceParameters& parameters, int size);

  /// Half width, depth and centre depth of the ellipse at height y.
  struct Section {
    float half_width = 0, depth = 0, center = 0;
  };
  Section section(float y) const;
  /// A point of the profile at v, from 0 (crown) to 1 (under the chin): returns y and fills its section.
  float profile(float v, Section& section) const;

  /// Height of the bumps at a point of the resting face.
  float bump(float x, float y) const;
  /// Where the jaw moves a resting point.
  float jaw_shift(float y) const;
  /// The front surface at (x, y); y after the jaw's motion.
  Vec3 surface(float x, float y) const;

  Vec3 rotate(Vec3 p) const;          ///< head to view, about the head's centre
  Point2 project(Vec3 p) const;       ///< head to pixels
  Point2 project_view(Vec3 v) const;  ///< view to pixels
  Point2 place(float x, float y) const { return project(surface(x, y)); }
  Point2 place(Point2 p) const { return place(p.x, p.y); }
  Path place(std::span<const Point2> points) const;
  /// How directly the surface at (x, y) faces the viewer, 0 to 1.
  float facing(float x, float y) const;

  float unit() const { return unit_; }  ///< pixels per unit
  const EyeShape& eye(int side) const { return eyes_[side > 0]; }
  const std::array<Point2, 5>& brow(int side) const { return brows_[side > 0]; }  ///< from inner to outer
  const MouthShape& mouth() const { return mouth_; }
  const std::array<Point2, 9>& nose() const { return nose_; }  ///< landmarks 27-35
  float chin_y() const { return chin_y_; }

  Landmarks landmarks() const;

 private:
  void shape_profile();
  void shape_bumps();
  void shape_eyes();
  void shape_brows();
  void shape_nose();
  void shape_mouth();
  Point2 jaw_landmark(int i) const;

  /// A Gaussian hill or dent, mirrored in x unless it is in the middle.
  struct Bump {
    float x, y, rx, ry, height;
  };

  const FaceParameters& p_;
  int size_;
  float unit_, center_x_, center_y_;
  float rotation_[3][3];
  std::vector<std::array<float, 4>> profile_;  // y, half width, depth, centre
  std::vector<Bump> bumps_;
  float chin_y_ = 1.03f, jaw_drop_ = 0;
  EyeShape eyes_[2];
  std::array<Point2, 5> brows_[2];
  std::array<Point2, 9> nose_;
  MouthShape mouth_;
};

}  // namespace fer::detail
