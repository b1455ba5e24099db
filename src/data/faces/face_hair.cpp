// Hair: the hairline of the scalp, how far hair stands off, how its strands shine; and loose locks.
#include <cmath>
#include <numbers>

#include "data/faces/face_render.h"

namespace fer::detail {
namespace {

struct Knot {
  float degrees, y;
};

/// Hairlines by style: |angle| in degrees against height. Behind the ears hair reaches down to the neck.
std::span<const Knot> hairline_knots(HairStyle style) {
  static constexpr Knot receding[] = {{0, -0.83f},  {18, -0.80f}, {34, -0.86f}, {48, -0.66f},
                                      {60, -0.36f}, {70, -0.12f}, {77, 0.08f},  {83, 0.10f},
                                      {88, -0.14f}, {100, 0.05f}, {112, 0.26f}, {135, 0.6f}};
  static constexpr Knot cropped[] = {{0, -0.66f},  {28, -0.64f},  {44, -0.56f}, {54, -0.38f},
                                     {64, -0.20f}, {71, -0.04f},  {77, 0.13f},  {83, 0.15f},
                                     {88, -0.12f}, {100, -0.02f}, {112, 0.26f}, {135, 0.65f}};
  static constexpr Knot parted[] = {{0, -0.62f},  {30, -0.57f}, {46, -0.48f}, {56, -0.30f},
                                    {66, -0.10f}, {73, 0.05f},  {79, 0.16f},  {85, 0.16f},
                                    {90, 0.0f},   {100, 0.1f},  {112, 0.3f},  {135, 0.7f}};
  static constexpr Knot fringe[] = {{0, -0.33f},  {20, -0.31f}, {40, -0.29f}, {52, -0.26f},
                                    {60, -0.10f}, {68, 0.10f},  {76, 0.24f},  {85, 0.26f},
                                    {95, 0.3f},   {112, 0.6f},  {135, 0.8f}};
  static constexpr Knot long_parted[] = {{0, -0.72f}, {16, -0.68f}, {32, -0.57f}, {46, -0.38f}, {56, -0.14f},
                                         {64, 0.10f}, {72, 0.30f},  {82, 0.45f},  {95, 0.52f},  {135, 0.7f}};
  static constexpr Knot long_fringe[] = {{0, -0.30f}, {24, -0.29f}, {44, -0.25f}, {54, -0.14f}, {60, 0.0f},
                                         {66, 0.18f}, {74, 0.34f},  {84, 0.45f},  {95, 0.52f},  {135, 0.7f}};
  switch (style) {
    case HairStyle::receding:
      return receding;
    case HairStyle::short_parted:
      return parted;
    case HairStyle::fringe:
      return fringe;
    case HairStyle::long_parted:
      return long_parted;
    case HairStyle::long_fringe:
      return long_fringe;
    default:
      return cropped;
  }
}

constexpr float table_end = 2.4f;  // radians

}  // namespace

HairModel::HairModel(const FaceIdentity& identity, float phase) : identity_(identity), phase_(phase) {
  const auto knots = hairline_knots(identity.hair_style);
  const bool covers_forehead =
      identity.hair_style == HairStyle::fringe || identity.hair_style == HairStyle::long_fringe;
  const int n = static_cast<int>(line_.size());
  for (int i = 0; i < n; ++i) {
    const float angle = table_end * (2.0f * i / (n - 1) - 1);
    const float degrees = std::abs(angle) * 180 / std::numbers::pi_v<float>;
    std::size_t k = 0;
    while (k + 2 < knots.size() && knots[k + 1].degrees < degrees) ++k;
    const float t = clamp01((degrees - knots[k].degrees) / (knots[k + 1].degrees - knots[k].degrees));
    float y = mix(knots[k].y, knots[k + 1].y, t * t * (3 - 2 * t));
    const float front = bell(angle * 1.6f);
    if (!covers_forehead) {
      y -= 0.05f * identity.forehead * front;
      y += 0.09f * identity.hair_parting * std::sin(angle) * smooth_step(1.3f, 0.6f, std::abs(angle));
    } else {
      y += 0.05f * identity.hair_parting * std::sin(2 * angle) * front;
    }
    line_[i] = y;
  }
}

float HairModel::line(float angle) const {
  const int n = static_cast<int>(line_.size());
  const float position = std::clamp((angle / table_end + 1) * 0.5f * (n - 1), 0.0f, n - 1.001f);
  const int i = static_cast<int>(position);
  return mix(line_[i], line_[i + 1], position - i);
}

float HairModel::lift(float angle, float y) const {
  const float inside = smooth_step(-0.02f, 0.16f, line(angle) - y);
  if (inside <= 0) return 0;
  float height = 0.03f + 0.11f * identity_.hair_volume;
  if (identity_.hair_style == HairStyle::receding) height *= 0.4f;
  const float sides = smooth_step(0.9f, 1.4f, std::abs(angle));
  height *= mix(1.0f, is_long() ? 0.8f : 0.45f, sides);
  height *= 1 + 0.5f * identity_.hair_curl * (smooth_noise(angle * 5 + phase_, y * 6) - 0.3f);
  return height * inside;
}

float HairModel::cover(float angle, float y) const {
  if (!present()) return 0;
  const float above = line(angle) - y;
  if (above > 0.2f) return 1;
  if (above < -0.2f) return 0;
  const bool fringe =
      identity_.hair_style == HairStyle::fringe || identity_.hair_style == HairStyle::long_fringe;
  const float front = smooth_step(1.15f, 0.8f, std::abs(angle));
  const float coarse = smooth_noise(angle * 9 + phase_, y * 1.5f) - 0.5f;
  const float fine = smooth_noise(angle * 34 + phase_, y * 5) - 0.5f;
  const float ragged =
      front * (fringe ? 0.14f * coarse + 0.10f * fine : 0.02f * coarse + 0.03f * fine) + 0.02f * fine;
  const float soft = fringe ? 0.02f : mix(0.035f, 0.045f, front);
  const float thin = identity_.hair_style == HairStyle::receding ? 0.85f : 1.0f;
  return thin * smooth_step(-soft, soft, above + ragged);
}

float HairModel::strand(float angle, float y) const {
  const float wave = identity_.hair_curl * 0.10f * std::sin(y * 14 + angle * 3 + phase_);
  const float bend = identity_.hair_parting * 0.5f * (y + 0.6f);
  const float u = angle + wave + bend;
  const float fine = smooth_noise(u * 30 + phase_, y * 3.0f + 11),
              coarse = smooth_noise(u * 9 + phase_, y * 1.7f);
  float value = 0.35f + 0.75f * fine + 0.55f * coarse;
  if (identity_.hair_curl > 0.6f) value *= 0.55f + 0.9f * smooth_noise(angle * 14 + phase_, y * 12);
  // darker at the tips over the skin and in the shade behind the ears
  return std::max(0.2f, value - 0.15f * smooth_step(1.2f, 1.8f, std::abs(angle)));
}

Rgb FaceRenderer::strand_colour(float across, float along) const {
  const float wave = p_.identity.hair_curl * 0.12f * std::sin(along * 11 + phase_);
  const float u = across + wave;
  const float n = 0.35f + 0.8f * smooth_noise(u * 36 + phase_, along * 2.2f) +
                  0.45f * smooth_noise(u * 10, along * 1.3f + phase_);
  return p_.identity.hair * n;
}

void FaceRenderer::draw_back_hair() {
  if (!hair_.is_long()) return;
  const float wide = 0.82f + 0.16f * p_.identity.hair_volume;
  const float wave = 0.05f * p_.identity.hair_curl;
  std::vector<Point2> outline;
  static constexpr float heights[] = {-1.06f, -0.85f, -0.45f, 0.0f, 0.45f, 0.9f, 1.35f, 1.8f};
  static constexpr float widths[] = {0.35f, 0.74f, 0.95f, 1.0f, 1.02f, 1.05f, 1.0f, 0.95f};
  for (int side : {1, -1}) {
    for (int i = 0; i < 8; ++i) {
      const int k = side > 0 ? i : 7 - i;
      const float x = side * wide * (widths[k] + wave * std::sin(k * 2.1f + phase_ + side));
      outline.push_back(geometry_.project({x, heights[k], -0.3f}));
    }
  }
  const Rgb light = light_at({0, 0, 1}) * 0.62f;
  const Point2 origin = geometry_.project({0, 0, -0.3f});
  const float inverse = 1 / px(1);
  scene_.paint_with(scene_.coverage(spline(outline, steps_, true)), [&](float x, float y) {
    const float u = (x - origin.x) * inverse, v = (y - origin.y) * inverse;
    const float depth = 0.35f + 0.65f * smooth_step(0.45f, 0.85f, std::abs(u));
    return strand_colour(u, v) * light * depth;
  });
}

void FaceRenderer::draw_front_hair() {
  if (!hair_.is_long()) return;
  const float wide = 0.76f + 0.15f * p_.identity.hair_volume;
  const float wave = 0.045f * p_.identity.hair_curl;
  const float inverse = 1 / px(1);
  for (int side : {-1, 1}) {
    const float s = static_cast<float>(side);
    if (s * p_.pose.yaw > 0.35f) continue;  // the cheek hides the lock on the far side
    static constexpr float heights[] = {-0.98f, -0.50f, -0.05f, 0.4f, 0.8f, 1.2f, 1.7f};
    static constexpr float inner[] = {0.34f, 0.60f, 0.665f, 0.63f, 0.55f, 0.52f, 0.58f};
    std::vector<Point2> outline;
    for (int i = 0; i < 7; ++i) {
      const float bend = wave * std::sin(i * 1.9f + phase_ * 1.3f + s) * (i > 1);
      outline.push_back(geometry_.project({s * (inner[i] + bend), heights[i], i < 3 ? 0.08f : 0.12f}));
    }
    for (int i = 6; i >= 0; --i) {
      const float bend = wave * std::sin(i * 2.1f + phase_ + s);
      outline.push_back(geometry_.project({s * wide * (i ? 1.0f + bend : 0.52f), heights[i], -0.12f}));
    }
    const Point2 origin = geometry_.project({s * 0.6f, 0, 0});
    scene_.paint_with(scene_.coverage(spline(outline, steps_, true)), [&](float x, float y) {
      const float u = (x - origin.x) * inverse * s, v = (y - origin.y) * inverse;
      const Rgb light = light_at(normalized({s * (0.15f + 2.2f * u), -0.15f, 0.8f}));
      return strand_colour(u * 0.9f + 0.2f * s, v) * light;
    });
  }
}

}  // namespace fer::detail
