// Brows, eyes, nose and mouth, painted on the skin before it is lit.
#include <cmath>

#include "data/faces/face_render.h"

namespace fer::detail {
namespace {

Path joined(Path first, const Path& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Path reversed(const Path& path) {
  return {path.rbegin(), path.rend()};
}

Path shifted(Path path, float dx, float dy) {
  for (Point2& p : path) p = {p.x + dx, p.y + dy};
  return path;
}

/// Multiplies a mask by another that covers part of the same canvas and is zero elsewhere.
void intersect(Mask& mask, const Mask& by) {
  for (int y = 0; y < mask.height; ++y) {
    const int by_y = mask.y0 + y - by.y0;
    for (int x = 0; x < mask.width; ++x) {
      const int by_x = mask.x0 + x - by.x0;
      const bool inside = by_y >= 0 && by_y < by.height && by_x >= 0 && by_x < by.width;
      mask.row(y)[x] *= inside ? by.row(by_y)[by_x] : 0;
    }
  }
}

}  // namespace

void FaceRenderer::paint_brows() {
  const FaceIdentity& id = p_.identity;
  const float thick = 0.030f * (1 + 0.35f * id.brow_thickness);
  static constexpr float width[5] = {0.85f, 1.1f, 1.0f, 0.72f, 0.2f};
  const Rgb colour = mix(id.skin * 0.45f, id.hair * 0.8f, id.brow_darkness);
  for (int side : {-1, 1}) {
    const auto& points = geometry_.brow(side);
    std::vector<Point2> upper, lower;
    for (int i = 0; i < 5; ++i) {
      upper.push_back(geometry_.place(points[i].x, points[i].y - thick * width[i] * 0.9f));
      lower.push_back(geometry_.place(points[i].x, points[i].y + thick * width[i]));
    }
    const Path top = spline(upper, steps_), bottom = spline(lower, steps_);
    Mask mask = albedo_.coverage(joined(top, reversed(bottom)));
    const Path middle = spline(geometry_.place(points), steps_);
    albedo_.stroke(middle, px(thick * 2.1f), colour, 0.45f, Blend::over, 0.7f);  // soft edge
    const float k = 1 / px(1);
    const Point2 origin = geometry_.place(points[0]);
    for (int y = 0; y < mask.height; ++y) {
      for (int x = 0; x < mask.width; ++x) {
        const float u = (mask.x0 + x - origin.x) * k * side, v = (mask.y0 + y - origin.y) * k;
        const float hairs = smooth_noise((u * 0.9f + v * 1.3f) * 46 + phase_, (v - u * 0.4f) * 14 + 3 * side);
        mask.row(y)[x] *= clamp01((0.45f + 0.75f * hairs) * smooth_step(-0.03f, 0.06f, u) *
                                  (0.5f + 0.5f * id.brow_darkness));
      }
    }
    albedo_.paint(mask, colour, 0.95f);
    gloss_.paint(mask, {0, 0, 0}, 0.8f);
  }
}

void FaceRenderer::paint_eye(int side) {
  const EyeShape& eye = geometry_.eye(side);
  const FaceIdentity& id = p_.identity;
  const float s = static_cast<float>(side);
  const Point2 upper_points[4] = {eye.inner, eye.upper_inner, eye.upper_outer, eye.outer};
  const Point2 lower_points[4] = {eye.outer, eye.lower_outer, eye.lower_inner, eye.inner};
  const Path upper = spline(geometry_.place(upper_points), 2 * steps_);
  const Path lower = spline(geometry_.place(lower_points), 2 * steps_);
  const Mask opening = albedo_.coverage(joined(upper, lower));
  const float openness = eye.upper + eye.lower;

  albedo_.paint(opening, {0.66f, 0.62f, 0.60f});
  shade_.paint(opening, light_at(geometry_.rotate({0.25f * s, 0.1f, 1.0f})) * 0.82f, 0.65f);
  gloss_.paint(opening, {0, 0, 0});
  // the eyeball curves away towards its corners
  const auto within = [&](Point2 center, float rx, float ry, const Rgb& colour, float opacity) {
    Mask mask = albedo_.coverage(ellipse(center, rx, ry, p_.pose.roll, 24));
    intersect(mask, opening);
    albedo_.paint(mask, colour, opacity);
  };
  const float gaze_x = 0.05f * p_.pose.gaze_x, gaze_y = 0.022f * p_.pose.gaze_y - 0.006f;
  const Point2 pupil = at(eye.center.x + gaze_x, eye.center.y + gaze_y);
  const float radius = px(0.066f), squeeze = 0.75f + 0.25f * geometry_.facing(eye.center.x, eye.center.y);
  within(pupil, radius * 1.06f * squeeze, radius * 1.06f, {0.02f, 0.02f, 0.02f}, 0.75f);
  within(pupil, radius * 0.90f * squeeze, radius * 0.90f, id.iris, 1);
  within({pupil.x, pupil.y + 0.25f * radius}, radius * 0.62f * squeeze, radius * 0.58f, id.iris * 1.9f,
         0.55f);
  within(pupil, radius * 0.42f * squeeze, radius * 0.42f, {0.004f, 0.004f, 0.004f}, 1);
  // pink corner, lid shadow on the ball
  Canvas& a = albedo_;
  a.spot(geometry_.place(eye.inner), px(0.018f), px(0.012f), 0, {0.55f, 0.22f, 0.2f}, 0.6f);
  if (openness > 0.02f) {
    Mask shadow = a.coverage(joined(upper, reversed(shifted(upper, 0, px(0.030f)))));
    intersect(shadow, opening);
    a.paint(shadow, {0.45f, 0.42f, 0.42f}, 0.8f, Blend::multiply);
  }
  // lashes and lids
  const Rgb lash = mix(id.hair * 0.25f, Rgb{0.012f, 0.01f, 0.01f}, 0.6f);
  a.stroke(shifted(upper, 0, -px(0.006f)), px(0.021f), lash, 0.95f, Blend::over, 0.45f);
  const Point2 flick[2] = {geometry_.place(eye.outer), at(eye.outer.x + s * 0.028f, eye.outer.y - 0.016f)};
  a.stroke(flick, px(0.014f), lash, 0.6f, Blend::over, 0.6f);
  a.stroke(shifted(lower, 0, px(0.004f)), px(0.012f), mix(id.skin * 0.4f, lash, 0.3f), 0.6f, Blend::over,
           0.6f);
  // fold of the upper lid
  const float height = 0.030f + 0.012f * id.lid_fold + 0.014f * p_.units.au5;
  const Point2 fold[4] = {{eye.inner.x + s * 0.02f, eye.inner.y - 0.028f},
                          {eye.upper_inner.x, eye.upper_inner.y - height},
                          {eye.upper_outer.x, eye.upper_outer.y - height},
                          {eye.outer.x + s * 0.012f, eye.outer.y - 0.022f}};
  const Path crease = spline(geometry_.place(fold), steps_);
  shade_.stroke(crease, px(0.016f), {0.42f, 0.34f, 0.32f}, 0.55f + 0.25f * id.lid_fold, Blend::multiply,
                0.7f);
}

void FaceRenderer::paint_nose() {
  const auto& nose = geometry_.nose();
  const ActionUnits& au = p_.units;
  const Rgb shadow{0.55f, 0.42f, 0.38f};
  const Point2 tip = nose[3];
  for (int side : {-1, 1}) {
    const float s = static_cast<float>(side);
    const Point2 wing = nose[side > 0 ? 8 : 4], inner = nose[side > 0 ? 7 : 5];
    const Point2 hole{s * std::abs(wing.x) * 0.50f, inner.y - 0.008f};
    shade_.spot(geometry_.place(hole), px(0.038f), px(0.017f), p_.pose.roll + s * 0.35f,
                {0.10f, 0.06f, 0.06f}, 0.85f, Blend::multiply);
    const Point2 round[4] = {{wing.x - s * 0.018f, wing.y - 0.075f},
                             {wing.x + s * 0.006f, wing.y - 0.03f},
                             {wing.x - s * 0.004f, wing.y + 0.012f},
                             {wing.x - s * 0.04f, inner.y + 0.004f}};
    shade_.stroke(spline(geometry_.place(round), steps_), px(0.018f), shadow, 0.75f, Blend::multiply);
    // the bridge's flank, darker on the side away from the light
    const float away = clamp01(0.5f - s * light_.x);
    const Point2 flank[3] = {{s * 0.075f, 0.02f}, {s * 0.072f, 0.16f}, {s * 0.085f, tip.y - 0.03f}};
    shade_.stroke(spline(geometry_.place(flank), steps_), px(0.045f), shadow, 0.20f + 0.35f * away,
                  Blend::multiply);
  }
  shade_.spot(at(0, nose[6].y + 0.018f), px(0.10f), px(0.022f), p_.pose.roll, shadow, 0.75f, Blend::multiply);
  gloss_.spot(at(0.012f * light_.x * 4, tip.y - 0.012f), px(0.026f), px(0.024f), 0, key_, 0.09f, Blend::add);
  const Point2 ridge[3] = {
      {0.01f * light_.x * 4, 0.06f}, {0.012f * light_.x * 4, 0.17f}, {0.01f * light_.x * 4, tip.y - 0.04f}};
  gloss_.stroke(spline(geometry_.place(ridge), steps_), px(0.028f), key_, 0.035f, Blend::add);
  // philtrum
  const float lip = geometry_.mouth().outer[3].y;
  const Point2 philtrum[2] = {{0, nose[6].y + 0.035f}, {0, lip - 0.008f - 0.01f * au.au10}};
  shade_.stroke(geometry_.place(philtrum), px(0.022f), shadow, 0.4f, Blend::multiply, 0.3f);
}

void FaceRenderer::paint_mouth() {
  const MouthShape& m = geometry_.mouth();
  const FaceIdentity& id = p_.identity;
  const ActionUnits& au = p_.units;
  const Path inner_top = spline(geometry_.place(m.upper_edge), steps_);
  const Path inner_bottom = reversed(spline(geometry_.place(m.lower_edge), steps_));
  const Path outer_top = spline(geometry_.place(std::span(m.outer).first(7)), 2 * steps_);
  std::vector<Point2> bottom(m.outer.begin() + 6, m.outer.end());
  bottom.push_back(m.outer[0]);
  const Path outer_bottom = spline(geometry_.place(bottom), 2 * steps_);

  const Rgb lip =
      mix(id.skin * Rgb{0.86f, 0.50f, 0.48f}, Rgb{0.50f, 0.14f, 0.14f}, 0.30f + 0.22f * id.lip_redness);
  const Mask upper_lip = albedo_.coverage(joined(outer_top, reversed(inner_top)));
  const Mask lower_lip = albedo_.coverage(joined(outer_bottom, reversed(inner_bottom)));
  albedo_.paint(upper_lip, lip * 0.80f, 0.92f);
  albedo_.paint(lower_lip, lip, 0.90f);
  gloss_.paint(upper_lip, {0, 0, 0}, 0.5f);
  const Point2 wet{0.3f * light_.x * m.half_width, 0.5f * (m.inner[6].y + m.outer[9].y) - 0.004f};
  gloss_.spot(geometry_.place(wet), px(0.36f * m.half_width), px(0.011f), p_.pose.roll, key_, 0.10f,
              Blend::add);
  const Point2 under{0, m.outer[9].y + 0.022f};
  shade_.spot(geometry_.place(under), px(0.6f * m.half_width), px(0.018f), p_.pose.roll, {0.6f, 0.48f, 0.45f},
              0.55f, Blend::multiply);

  if (m.gap > 0.012f) {
    const Mask inside = albedo_.coverage(joined(inner_top, inner_bottom));
    albedo_.paint(inside, {0.055f, 0.016f, 0.014f});
    gloss_.paint(inside, {0, 0, 0});
    shade_.paint(inside, light_at({0, 0.1f, 1}), 0.6f);
    if (m.gap > 0.09f) {  // tongue
      Mask tongue = albedo_.coverage(
          ellipse(at(0, m.inner[6].y + 0.02f), px(0.62f * m.half_width), px(0.42f * m.gap), p_.pose.roll));
      intersect(tongue, inside);
      albedo_.paint(tongue, {0.36f, 0.10f, 0.09f}, 0.8f);
    }
    const float shown =
        clamp01(0.3f + 0.9f * au.au12 + 0.7f * au.au10 + 0.5f * au.au20 + 0.25f * au.au9 - 0.25f * au.au26);
    const auto teeth = [&](const Path& edge, float height, float bright) {
      Mask mask = albedo_.coverage(joined(edge, reversed(shifted(edge, 0, px(height)))));
      intersect(mask, inside);
      const Point2 center = at(0, m.inner[2].y);
      const float k = 1 / px(m.half_width);
      albedo_.paint_with(mask, [&](float x, float) {
        const float t = (x - center.x) * k;
        const float gapped = 0.92f + 0.08f * std::cos(t * 24);
        return Rgb{0.80f, 0.76f, 0.68f} * (bright * gapped * (1 - 0.62f * t * t));
      });
    };
    teeth(inner_top, std::min(0.062f, 0.25f * m.gap + 0.045f * shown), 0.45f + 0.55f * shown);
    const float lower_teeth = std::max(0.8f * au.au20, 0.6f * au.au10 * au.au26);
    if (lower_teeth > 0.15f && m.gap > 0.05f)
      teeth(inner_bottom, -std::min(0.035f, 0.25f * m.gap), 0.75f * lower_teeth);
    albedo_.stroke(inner_top, px(0.014f), {0.10f, 0.03f, 0.03f}, 0.7f, Blend::over, 0.3f);
  } else {
    albedo_.stroke(inner_top, px(0.015f + 0.006f * au.au23), {0.10f, 0.035f, 0.03f}, 0.85f, Blend::over,
                   0.4f);
  }
  for (int corner : {0, 6}) {
    const float s = corner ? 1.0f : -1.0f;
    shade_.spot(at(m.outer[corner].x + s * 0.006f, m.outer[corner].y), px(0.020f), px(0.016f), 0,
                {0.35f, 0.24f, 0.22f}, 0.55f + 0.3f * au.au12, Blend::multiply);
  }
}

void FaceRenderer::draw_eye_lights() {
  for (int side : {-1, 1}) {
    const EyeShape& eye = geometry_.eye(side);
    if (eye.upper + eye.lower < 0.035f) continue;
    const Point2 spot{eye.center.x + 0.05f * p_.pose.gaze_x + 0.026f * light_.x,
                      eye.center.y + 0.022f * p_.pose.gaze_y - 0.014f - 0.012f * std::max(0.0f, -light_.y)};
    if (spot.y < eye.center.y - eye.upper + 0.008f) continue;  // under the lid
    scene_.spot(geometry_.place(spot), px(0.012f), px(0.012f), 0, key_, 0.75f, Blend::add);
  }
}

}  // namespace fer::detail
