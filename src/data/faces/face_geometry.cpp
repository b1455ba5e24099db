// Surface, pose and landmarks of the head. face_features.cpp applies the action units to its features.
#include "data/faces/face_geometry.h"

#include <cmath>
#include <numbers>

namespace fer::detail {
namespace {

constexpr Vec3 pivot{0, 0.1f, -0.12f};  // the head turns about the upper end of its neck
constexpr float perspective = 0.10f;

/// Catmull-Rom weights at t between the second and the third of four knots.
std::array<float, 4> spline_weights(float t) {
  const float t2 = t * t, t3 = t2 * t;
  return {-0.5f * t3 + t2 - 0.5f * t, 1.5f * t3 - 2.5f * t2 + 1, -1.5f * t3 + 2 * t2 + 0.5f * t,
          0.5f * t3 - 0.5f * t2};
}

}  // namespace

HeadGeometry::HeadGeometry(const FaceParameters& parameters, int size) : p_(parameters), size_(size) {
  const FacePose& pose = p_.pose;
  unit_ = 0.475f * size * pose.scale;
  center_x_ = size * (0.5f + pose.shift_x);
  center_y_ = size * (0.47f + pose.shift_y);
  const float cy = std::cos(pose.yaw), sy = std::sin(pose.yaw), cp = std::cos(pose.pitch),
              sp = std::sin(pose.pitch);
  const float cr = std::cos(pose.roll), sr = std::sin(pose.roll);
  // roll * pitch * yaw; yaw turns z towards x, pitch turns z towards y
  const float yaw[3][3] = {{cy, 0, sy}, {0, 1, 0}, {-sy, 0, cy}};
  const float pitch[3][3] = {{1, 0, 0}, {0, cp, sp}, {0, -sp, cp}};
  const float roll[3][3] = {{cr, -sr, 0}, {sr, cr, 0}, {0, 0, 1}};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) {
      rotation_[i][j] = 0;
      for (int k = 0; k < 3; ++k) {
        for (int l = 0; l < 3; ++l) rotation_[i][j] += roll[i][k] * pitch[k][l] * yaw[l][j];
      }
    }
  }
  jaw_drop_ = 0.165f * p_.units.au26 + 0.02f * p_.units.au25 - 0.02f * p_.units.au17;
  shape_profile();
  shape_nose();
  shape_eyes();
  shape_brows();
  shape_mouth();
  shape_bumps();
}

void HeadGeometry::shape_profile() {
  const FaceIdentity& id = p_.identity;
  const float w = 1 + 0.06f * id.head_width, l = 1 + 0.05f * id.head_length;
  const float jaw = w * (1 + 0.07f * id.jaw_width + 0.04f * id.cheek_fullness);
  const float chin = w * (1 + 0.15f * id.chin_width + 0.09f * id.jaw_width);
  const float cheek = w * (1 + 0.04f * id.cheekbones + 0.02f * id.cheek_fullness);
  const float brow = w * (1 + 0.03f * id.forehead);
  profile_ = {{-1.04f, 0.00f, 0.00f, -0.20f},
              {-1.01f, 0.24f, 0.28f, -0.20f},
              {-0.90f, 0.48f * brow, 0.53f, -0.17f},
              {-0.68f, 0.63f * brow, 0.66f, -0.12f},
              {-0.42f, 0.70f * brow, 0.71f, -0.08f},
              {-0.16f, 0.715f * w, 0.70f, -0.05f},
              {0.08f, 0.71f * cheek, 0.68f, -0.04f},
              {0.28f, 0.69f * cheek, 0.66f, -0.03f},
              {0.48f, 0.635f * jaw, 0.64f, -0.03f},
              {0.66f, 0.555f * jaw, 0.61f, -0.03f},
              {0.82f, 0.435f * chin, 0.57f, -0.03f},
              {0.935f, 0.318f * chin, 0.52f, -0.03f},
              {1.005f, 0.215f * chin, 0.44f, -0.04f},
              {1.04f, 0.105f * chin, 0.28f, -0.08f},
              {1.05f, 0.0f, 0.10f, -0.12f}};
  for (auto& knot : profile_) {
    if (knot[0] > 0.08f) knot[0] = 0.08f + (knot[0] - 0.08f) * l;
  }
  chin_y_ = profile_[13][0];
}

float HeadGeometry::profile(float v, Section& section) const {
  const int last = static_cast<int>(profile_.size()) - 1;
  const float position = clamp01(v) * last;
  const int i = std::min(static_cast<int>(position), last - 1);
  const auto w = spline_weights(position - i);
  float out[4] = {};
  for (int k = 0; k < 4; ++k) {
    const auto& knot = profile_[std::clamp(i - 1 + k, 0, last)];
    for (int c = 0; c < 4; ++c) out[c] += w[k] * knot[c];
  }
  section = {std::max(out[1], 0.0f), std::max(out[2], 0.0f), out[3]};
  return out[0];
}

HeadGeometry::Section HeadGeometry::section(float y) const {
  const int last = static_cast<int>(profile_.size()) - 1;
  int i = 0;
  while (i < last - 1 && profile_[i + 1][0] < y) ++i;
  const float t = clamp01((y - profile_[i][0]) / (profile_[i + 1][0] - profile_[i][0]));
  Section section;
  profile((i + t) / last, section);
  return section;
}

void HeadGeometry::shape_bumps() {
  const FaceIdentity& id = p_.identity;
  const ActionUnits& au = p_.units;
  const float tip = nose_[3].y, wide = nose_[8].x;
  const float tall = 1 + 0.2f * id.nose_height;
  const float apple = 0.045f * au.au6 + 0.035f * au.au12;
  bumps_ = {
      // nose: a ridge that rises towards the tip, and the wings
      {0, tip * 0.36f, 0.050f, 0.15f, 0.055f * tall},
      {0, tip * 0.70f, 0.055f + 0.01f * id.nose_width, 0.11f, 0.095f * tall},
      {0, tip + 0.012f, 0.068f + 0.012f * id.nose_width, 0.062f, 0.150f * tall},
      {wide * 0.82f, tip + 0.055f, 0.042f, 0.045f, 0.060f * tall},
      {0, tip + 0.12f, 0.10f, 0.035f, -0.035f},
      // sockets with their eyeballs, brow ridge, temples
      {eyes_[1].center.x, 0.0f, 0.15f, 0.095f, -0.095f},
      {eyes_[1].center.x, 0.005f, 0.085f, 0.07f, 0.062f},
      {0.08f, -0.02f, 0.05f, 0.07f, -0.02f},
      {0.27f, -0.20f, 0.20f, 0.065f, 0.035f},
      {0.0f, -0.20f, 0.09f, 0.07f, 0.012f + 0.012f * au.au4},
      {0.64f, -0.22f, 0.10f, 0.15f, -0.03f},
      // cheekbones, the raised apples of the cheeks, hollow beneath
      {0.44f, 0.22f, 0.15f, 0.11f, 0.045f + 0.02f * id.cheekbones + 0.02f * id.cheek_fullness},
      {0.37f, 0.26f, 0.13f, 0.10f, apple},
      {0.46f, 0.56f, 0.13f, 0.15f, -0.02f + 0.02f * id.cheek_fullness},
      // mouth, the groove under it, chin
      {0, mouth_.line_y, 0.24f, 0.13f, 0.055f},
      {0, mouth_.line_y + 0.13f, 0.16f, 0.04f, -0.030f - 0.01f * au.au17},
      {0, 0.89f, 0.13f, 0.085f, 0.05f + 0.02f * au.au17},
  };
}

float HeadGeometry::bump(float x, float y) const {
  float height = 0;
  const float ax = std::abs(x);
  for (const Bump& b : bumps_) {
    const float v = (y - b.y) / b.ry;
    if (v * v >= 16) continue;
    const float u = (ax - b.x) / b.rx;
    if (u * u >= 16) continue;
    height += b.height * bell(u) * bell(v);
  }
  return height;
}

float HeadGeometry::jaw_shift(float y) const {
  return jaw_drop_ * smooth_step(0.36f, 0.86f, y);
}

Vec3 HeadGeometry::surface(float x, float y) const {
  float rest = y - jaw_shift(y);
  rest = y - jaw_shift(rest);  // two fixed-point steps are accurate to a thousandth
  rest = y - jaw_shift(rest);
  const Section s = section(rest);
  const float u = std::clamp(x / std::max(s.half_width, 1e-3f), -0.995f, 0.995f);
  const float depth = std::sqrt(1 - u * u);
  return {x, y, s.center + s.depth * depth + bump(x, rest) * smooth_step(0, 0.35f, depth)};
}

Vec3 HeadGeometry::rotate(Vec3 p) const {
  const Vec3 d = p - pivot;
  return {rotation_[0][0] * d.x + rotation_[0][1] * d.y + rotation_[0][2] * d.z,
          rotation_[1][0] * d.x + rotation_[1][1] * d.y + rotation_[1][2] * d.z,
          rotation_[2][0] * d.x + rotation_[2][1] * d.y + rotation_[2][2] * d.z};
}

Point2 HeadGeometry::project_view(Vec3 v) const {
  const float k = unit_ / (1 - perspective * (v.z - 0.5f));
  return {center_x_ + k * v.x, center_y_ + k * v.y};
}

Point2 HeadGeometry::project(Vec3 p) const {
  return project_view(rotate(p));
}

Path HeadGeometry::place(std::span<const Point2> points) const {
  Path path;
  path.reserve(points.size());
  for (const Point2& p : points) path.push_back(place(p));
  return path;
}

float HeadGeometry::facing(float x, float y) const {
  const float h = 0.03f;
  const Vec3 dx = surface(x + h, y) - surface(x - h, y), dy = surface(x, y + h) - surface(x, y - h);
  const Vec3 n = normalized(cross(dx, dy));
  return clamp01(rotation_[2][0] * n.x + rotation_[2][1] * n.y + rotation_[2][2] * n.z);
}

/// A point of the visible contour: at the height of landmark i, the point that stands out most in its
/// direction. In a turned head this is different skin on the two sides, but it is what annotators mark.
Point2 HeadGeometry::jaw_landmark(int i) const {
  constexpr int side_count = 8;
  const int k = i <= 8 ? i : 16 - i;  // 0 at the ear, 8 at the chin
  const float side = i < 8 ? -1.0f : 1.0f;
  Vec3 best{};
  float furthest = -1e9f;
  const auto consider = [&](Vec3 point, float nx, float ny) {
    const FacePose& pose = p_.pose;
    const Vec3 v = rotate(point);
    // outwards in the head's upright frame: undo the roll
    const float c = std::cos(pose.roll), s = std::sin(pose.roll);
    const float out = nx * (c * v.x + s * v.y) + ny * (c * v.y - s * v.x);
    if (out > furthest) {
      furthest = out;
      best = v;
    }
  };
  if (k == side_count) {
    for (int j = 0; j <= 10; ++j) {
      Section s;
      const float y = profile((11.0f + 0.3f * j) / (profile_.size() - 1), s);
      consider({0, y + jaw_shift(y), s.center + s.depth + bump(0, y)}, 0, 1);
    }
    return project_view(best);
  }
  // heights in roughly equal steps along the contour
  static constexpr float level[side_count] = {0.00f, 0.15f, 0.30f, 0.45f, 0.60f, 0.74f, 0.86f, 0.955f};
  static constexpr float normal_y[side_count] = {0, 0, 0.05f, 0.15f, 0.35f, 0.55f, 0.75f, 0.9f};
  const float y = 0.02f + level[k] * (chin_y_ - 0.02f) / 1.0f;
  const Section s = section(y);
  for (int j = 0; j <= 24; ++j) {
    const float angle = std::numbers::pi_v<float> * (0.08f + 0.42f * j / 24);
    const float x = side * s.half_width * std::sin(angle);
    consider({x, y + jaw_shift(y), s.center + s.depth * std::cos(angle) + bump(x, y) * std::cos(angle)},
             side * std::sqrt(1 - normal_y[k] * normal_y[k]), normal_y[k]);
  }
  return project_view(best);
}

Landmarks HeadGeometry::landmarks() const {
  Landmarks points{};
  for (int i = 0; i <= 16; ++i) points[i] = jaw_landmark(i);
  for (int i = 0; i < 5; ++i) {
    points[17 + i] = place(brows_[0][4 - i]);
    points[22 + i] = place(brows_[1][i]);
  }
  for (int i = 0; i < 9; ++i) points[27 + i] = place(nose_[i]);
  const EyeShape &l = eyes_[0], &r = eyes_[1];
  const Point2 eyes[12] = {l.outer, l.upper_outer, l.upper_inner, l.inner, l.lower_inner, l.lower_outer,
                           r.inner, r.upper_inner, r.upper_outer, r.outer, r.lower_outer, r.lower_inner};
  for (int i = 0; i < 12; ++i) points[36 + i] = place(eyes[i]);
  for (int i = 0; i < 12; ++i) points[48 + i] = place(mouth_.outer[i]);
  for (int i = 0; i < 8; ++i) points[60 + i] = place(mouth_.inner[i]);
  for (Point2& p : points) p = {p.x / size_, p.y / size_};
  return points;
}

}  // namespace fer::detail
