// The positions of brows, eyes, nose and mouth: the identity's resting shape, moved by the action units.
#include <cmath>

#include "data/faces/face_geometry.h"

namespace fer::detail {

void HeadGeometry::shape_brows() {
  const FaceIdentity& id = p_.identity;
  const ActionUnits& au = p_.units;
  // from the inner to the outer end
  static constexpr float x[5] = {0.115f, 0.205f, 0.305f, 0.405f, 0.495f};
  static constexpr float arch[5] = {0.0f, 0.030f, 0.052f, 0.048f, 0.002f};
  static constexpr float inner_raise[5] = {1, 0.72f, 0.32f, 0.06f, 0};
  static constexpr float outer_raise[5] = {0.05f, 0.3f, 0.72f, 1, 0.85f};
  static constexpr float lower[5] = {1, 0.82f, 0.52f, 0.28f, 0.12f};
  // when raised and drawn together (sadness, fear), the inner end goes up and only moves towards the middle
  const float down = 0.088f * au.au4 * (1 - 0.8f * au.au1);
  for (int side = 0; side < 2; ++side) {
    const float sign = side ? 1.0f : -1.0f;
    const float lopsided = 1 + 0.12f * id.asymmetry * sign;
    for (int i = 0; i < 5; ++i) {
      float y = -0.178f - 0.022f * id.brow_height - arch[i] * (1 + 0.6f * id.brow_arch) -
                0.018f * id.brow_slant * (i - 2) * 0.5f;
      y -= lopsided * (0.105f * au.au1 * inner_raise[i] + 0.095f * au.au2 * outer_raise[i]);
      y += down * lower[i] + 0.045f * au.au9 * lower[i] + 0.012f * au.au6 * outer_raise[i];
      const float inwards = 0.045f * au.au4 * lower[i] + 0.015f * au.au9 * lower[i];
      const float spread = 1 + 0.05f * id.eye_spacing + 0.03f * id.head_width;
      brows_[side][i] = {sign * (x[i] * spread - inwards), y};
    }
  }
}

void HeadGeometry::shape_eyes() {
  const FaceIdentity& id = p_.identity;
  const ActionUnits& au = p_.units;
  const float open_size = 1 + 0.22f * id.eye_size;
  for (int side = 0; side < 2; ++side) {
    const float sign = side ? 1.0f : -1.0f;
    EyeShape& eye = eyes_[side];
    eye.half_width = 0.138f * (1 + 0.08f * id.eye_size);
    eye.center = {sign * (0.300f + 0.022f * id.eye_spacing), 0.012f * id.eye_height};
    const float closing =
        std::min(1.0f, 0.30f * au.au6 + 0.34f * au.au7 + 0.30f * au.au9 + 0.10f * au.au4 + 0.12f * au.au12);
    eye.upper = 0.058f * open_size * (1 + 0.62f * au.au5 - 0.5f * closing + 0.04f * id.asymmetry * sign) *
                (1 - au.au43);
    eye.lower = 0.036f * open_size * (1 + 0.15f * au.au5 - 0.95f * closing) * (1 - 0.7f * au.au43);
    const float slant = 0.014f * id.eye_slant - 0.006f;
    const float sad = 0.35f * au.au1 * (1 - au.au2) * (1 - au.au5);  // the lid follows the raised inner brow
    const Point2 c = eye.center;
    const float w = eye.half_width;
    eye.inner = {c.x - sign * w, c.y + 0.012f + 0.5f * slant};
    eye.outer = {c.x + sign * w, c.y + 0.002f - slant + 0.012f * sad};
    eye.upper_inner = {c.x - sign * 0.38f * w, c.y - eye.upper * (0.96f + 0.10f * sad) + 0.2f * slant};
    eye.upper_outer = {c.x + sign * 0.40f * w, c.y - eye.upper * (0.98f - 0.45f * sad) - 0.4f * slant};
    eye.lower_inner = {c.x - sign * 0.36f * w, c.y + eye.lower * 0.94f + 0.012f};
    eye.lower_outer = {c.x + sign * 0.42f * w, c.y + eye.lower + 0.006f - 0.3f * slant};
  }
}

void HeadGeometry::shape_nose() {
  const FaceIdentity& id = p_.identity;
  const ActionUnits& au = p_.units;
  const float length = 1 + 0.08f * id.nose_length;
  const float lift = 0.022f * au.au9 + 0.006f * au.au12 + 0.008f * au.au10;
  const float wide =
      0.108f * (1 + 0.16f * id.nose_width) + 0.012f * au.au9 + 0.012f * au.au12 + 0.006f * au.au20;
  const float tip = 0.335f * length - 0.01f * id.nose_tip - 0.5f * lift;
  nose_[0] = {0, 0.015f};
  nose_[1] = {0, 0.015f + 0.33f * (tip - 0.015f)};
  nose_[2] = {0, 0.015f + 0.67f * (tip - 0.015f)};
  nose_[3] = {0, tip};
  const float base = 0.425f * length - 0.4f * lift;
  nose_[4] = {-wide, base - 0.012f - lift};
  nose_[5] = {-0.52f * wide, base + 0.006f - 0.5f * lift};
  nose_[6] = {0, base + 0.018f};
  nose_[7] = {0.52f * wide, base + 0.006f - 0.5f * lift};
  nose_[8] = {wide, base - 0.012f - lift};
}

void HeadGeometry::shape_mouth() {
  const FaceIdentity& id = p_.identity;
  const ActionUnits& au = p_.units;
  MouthShape& m = mouth_;
  const float full = 1 + 0.28f * id.lip_fullness;
  const float thin =
      (1 - 0.55f * au.au23) * (1 - 0.22f * au.au20) * (1 - 0.08f * au.au12) * (1 - 0.2f * au.au9);
  const float upper_lip = 0.052f * full * thin * (1 - 0.15f * au.au26);
  const float lower_lip = 0.066f * full * thin;
  const float stretch = std::max(au.au12, au.au20);
  m.half_width = 0.242f * (1 + 0.1f * id.mouth_width) + 0.088f * au.au12 + 0.062f * au.au20 -
                 0.03f * au.au23 + 0.008f * au.au15 - 0.06f * au.au26 * (1 - 0.8f * stretch) -
                 0.012f * au.au17;
  m.line_y =
      0.632f + 0.02f * id.mouth_height + 0.03f * id.head_length + 0.03f * id.nose_length - 0.016f * au.au17;
  m.gap = 0.045f * au.au25 + 0.225f * au.au26;
  const float roundness = mix(0.62f, 0.46f, au.au26);
  const float corner = -0.010f - 0.095f * au.au12 + 0.078f * au.au15 + 0.022f * au.au20 -
                       0.014f * id.corner_rest + 0.03f * au.au17;
  const float raise = 0.055f * au.au10 + 0.040f * au.au9;  // raises the upper lip, most beside the middle
  const float lower_push = -0.022f * au.au17;

  // t: -1 at the left corner to 1 at the right one
  const auto line = [&](float t) {
    const float side_raise = 1 + 0.25f * id.asymmetry * t;
    return m.line_y + corner * t * t * side_raise;
  };
  const auto opening = [&](float t) { return std::pow(std::max(0.0f, 1 - t * t), roundness); };
  const auto lifted = [&](float t) { return raise * (1 - t * t) * (0.75f + 1.0f * t * t); };
  const auto inner_upper = [&](float t) { return line(t) - 0.24f * m.gap * opening(t) - lifted(t); };
  const auto inner_lower = [&](float t) {
    return line(t) + 0.76f * m.gap * opening(t) + lower_push * (1 - t * t) - 0.3f * lifted(t);
  };
  static constexpr float outer_t[7] = {-1, -0.66f, -0.26f, 0, 0.26f, 0.66f, 1};
  static constexpr float upper_shape[7] = {0, 0.62f, 1.0f, 0.84f, 1.0f, 0.62f, 0};
  static constexpr float lower_shape[7] = {0, 0.70f, 0.98f, 1.04f, 0.98f, 0.70f, 0};
  const float w = m.half_width;
  for (int i = 0; i < 7; ++i) {
    const float t = outer_t[i];
    m.outer[i] = {w * t, inner_upper(t) - upper_lip * upper_shape[i]};
    if (i > 0 && i < 6) m.outer[12 - i] = {w * t, inner_lower(t) + lower_lip * lower_shape[i]};
  }
  for (int i = 0; i < 9; ++i) {
    const float u = 0.25f * i - 1, t = u * (1.35f - 0.35f * u * u);  // closer near the corners
    m.upper_edge[i] = {w * t, i % 8 == 0 ? line(t) : inner_upper(t)};
    m.lower_edge[i] = {w * t, i % 8 == 0 ? line(t) : inner_lower(t)};
  }
  static constexpr float inner_t[5] = {-0.86f, -0.42f, 0, 0.42f, 0.86f};
  for (int i = 0; i < 5; ++i) {
    const float t = inner_t[i];
    m.inner[i] = {w * t, i == 0 || i == 4 ? 0.5f * (inner_upper(t) + inner_lower(t)) : inner_upper(t)};
    if (i > 0 && i < 4) m.inner[8 - i] = {w * t, inner_lower(t)};
  }
}

}  // namespace fer::detail
