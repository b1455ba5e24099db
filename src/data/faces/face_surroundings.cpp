// Everything behind the head: background, clothes, neck, ears.
#include <cmath>

#include "data/faces/face_render.h"

namespace fer::detail {

void FaceRenderer::draw_background() {
  const FaceBackground& b = p_.background;
  for (int y = 0; y < size_; ++y) {
    const Rgb colour = mix(b.top, b.bottom, (y + 0.5f) / size_);
    const float planes[3] = {colour.r, colour.g, colour.b};
    for (int c = 0; c < 3; ++c) std::fill_n(scene_.row(c, y), size_, planes[c]);
  }
  if (b.pattern == 0) return;
  const float n = static_cast<float>(size_);
  for (int k = 0; k < 4; ++k) {  // things out of focus
    const float r = 0.173f * k + 0.37f * static_cast<float>(b.pattern % 997);
    const auto pick = [&](float row) { return smooth_noise(r * 7.3f + row * 3.1f, row * 11.7f + r); };
    const Rgb colour = mix(b.bottom, b.top, 2 * pick(1) - 0.5f) * (0.4f + 1.4f * pick(2));
    scene_.spot({n * (1.6f * pick(3) - 0.3f), n * (1.6f * pick(4) - 0.3f)}, n * (0.06f + 0.2f * pick(5)),
                n * (0.06f + 0.3f * pick(6)), 3 * pick(7),
                {std::max(colour.r, 0.0f), std::max(colour.g, 0.0f), std::max(colour.b, 0.0f)}, 0.8f);
  }
}

void FaceRenderer::draw_neck() {
  const float drop = geometry_.jaw_shift(1.0f);
  std::vector<Point2> outline;
  static constexpr float heights[] = {0.55f, 0.95f, 1.3f, 1.7f};
  static constexpr float widths[] = {0.44f, 0.405f, 0.44f, 0.62f};
  const float wide = 1 + 0.06f * p_.identity.head_width + 0.05f * p_.identity.jaw_width;
  for (int side : {1, -1}) {
    for (int i = 0; i < 4; ++i) {
      const int k = side > 0 ? i : 3 - i;
      // the neck turns less than the head
      const Point2 turned = geometry_.project({side * wide * widths[k], heights[k], -0.25f});
      const Point2 fixed{size_ * (0.5f + p_.pose.shift_x) + side * px(wide * widths[k]),
                         size_ * (0.47f + p_.pose.shift_y) + px(heights[k] - 0.1f)};
      outline.push_back(mix(turned, fixed, clamp01(heights[k] - 0.5f)));
    }
  }
  const Point2 middle = mix(outline[1], outline[6], 0.5f);
  const float half = std::max(1.0f, 0.5f * std::abs(outline[1].x - outline[6].x));
  const float chin = geometry_.project({0, geometry_.chin_y() + drop, 0.2f}).y;
  scene_.paint_with(scene_.coverage(spline(outline, steps_, true)), [&](float x, float y) {
    const float t = std::clamp((x - middle.x) / half, -1.0f, 1.0f);
    const Vec3 n = normalized({t * 0.9f, 0.15f, std::sqrt(std::max(0.05f, 1 - 0.9f * t * t))});
    const float under = mix(0.42f, 0.85f, smooth_step(chin - px(0.05f), chin + px(0.30f), y));
    return p_.identity.skin * light_at(n) * under;
  });
  // collar and shoulders
  const float cx = size_ * (0.5f + p_.pose.shift_x), top = size_ * (0.47f + p_.pose.shift_y) + px(1.28f);
  const Point2 shoulders[9] = {{cx - px(1.7f), top + px(0.45f)},
                               {cx - px(1.0f), top + px(0.14f)},
                               {cx - px(0.55f), top - px(0.04f)},
                               {cx - px(0.40f), top - px(0.10f)},
                               {cx, top + px(0.12f)},
                               {cx + px(0.40f), top - px(0.10f)},
                               {cx + px(0.55f), top - px(0.04f)},
                               {cx + px(1.0f), top + px(0.14f)},
                               {cx + px(1.7f), top + px(0.45f)}};
  Path path = spline(shoulders, steps_);
  path.push_back({cx + px(1.7f), top + px(2)});
  path.push_back({cx - px(1.7f), top + px(2)});
  scene_.fill(path, p_.background.clothes * light_at({0, -0.3f, 0.95f}));
}

void FaceRenderer::draw_ears(bool in_front) {
  if (hair_.is_long()) return;  // hair covers the ears
  const FaceIdentity& id = p_.identity;
  const float size = 1 + 0.15f * id.ear_size;
  for (int side : {-1, 1}) {
    const float s = static_cast<float>(side);
    // the ear on the side turned to the viewer is drawn over the head
    if ((s * p_.pose.yaw < -0.06f) != in_front) continue;
    const float base = geometry_.section(0.08f).half_width - 0.03f;
    const auto point = [&](float out, float y) {
      return geometry_.project({s * (base + out * size), 0.07f + y * size, -0.10f - 0.5f * out});
    };
    const Point2 rim[9] = {point(-0.03f, -0.17f), point(0.05f, -0.205f), point(0.115f, -0.17f),
                           point(0.135f, -0.07f), point(0.115f, 0.04f),  point(0.085f, 0.12f),
                           point(0.055f, 0.195f), point(0.01f, 0.205f),  point(-0.03f, 0.15f)};
    const Rgb light = light_at(normalized(geometry_.rotate(Vec3{s * 0.5f, 0.1f, 0.6f})));
    const Rgb skin = id.skin * Rgb{1.02f, 0.88f, 0.85f} * light * 0.88f;
    scene_.fill(spline(rim, steps_, true), skin);
    const Point2 shell[4] = {point(0.045f, -0.13f), point(0.095f, -0.09f), point(0.075f, 0.03f),
                             point(0.045f, 0.10f)};
    scene_.stroke(spline(shell, steps_), px(0.030f), {0.55f, 0.42f, 0.40f}, 0.7f, Blend::multiply);
    scene_.spot(point(0.03f, 0.0f), px(0.028f), px(0.05f), 0, {0.4f, 0.28f, 0.26f}, 0.7f, Blend::multiply);
  }
}

}  // namespace fer::detail
