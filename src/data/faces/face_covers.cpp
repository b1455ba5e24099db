// Objects in front of the face: glasses, and things that hide a part of it.
#include <cmath>
#include <numbers>

#include "data/faces/face_render.h"

namespace fer::detail {
namespace {

/// A stadium-shaped outline about the segment from a to b.
Path capsule(Point2 a, Point2 b, float ra, float rb) {
  const float angle = std::atan2(b.y - a.y, b.x - a.x);
  Path path;
  constexpr int steps = 8;
  for (int i = 0; i <= steps; ++i) {
    const float t = angle + std::numbers::pi_v<float> * (static_cast<float>(i) / steps - 0.5f);
    path.push_back({b.x + rb * std::cos(t), b.y + rb * std::sin(t)});
  }
  for (int i = 0; i <= steps; ++i) {
    const float t = angle + std::numbers::pi_v<float> * (static_cast<float>(i) / steps + 0.5f);
    path.push_back({a.x + ra * std::cos(t), a.y + ra * std::sin(t)});
  }
  return path;
}

Path lowered(Path path, float dy) {
  for (Point2& p : path) p.y += dy;
  return path;
}

}  // namespace

void FaceRenderer::draw_glasses() {
  const bool dark = p_.occlusion.kind == OcclusionKind::sunglasses;
  const Glasses kind = dark ? Glasses::thick : p_.identity.glasses;
  if (kind == Glasses::none) return;
  const float weight = kind == Glasses::thick ? 0.022f : 0.012f;
  const Rgb frame = dark ? Rgb{0.02f, 0.02f, 0.02f} : mix(Rgb{0.03f, 0.025f, 0.02f}, p_.identity.hair, 0.3f);
  const float z = geometry_.surface(0, 0.02f).z + 0.03f;
  const float half_width = dark ? 0.205f : 0.185f, half_height = dark ? 0.15f : 0.125f;
  Point2 inner[2], outer[2];
  for (int side : {-1, 1}) {
    const float s = static_cast<float>(side), cx = geometry_.eye(side).center.x, cy = 0.015f;
    Path lens;
    const auto point = [&](float x, float y) {
      return geometry_.project({x, y, z - 0.22f * (std::abs(x) - 0.1f)});
    };
    for (int i = 0; i < 28; ++i) {
      const float t = 2 * std::numbers::pi_v<float> * i / 28;
      const float c = std::cos(t), n = std::sin(t);
      // a superellipse: between an ellipse and a rectangle
      const float x = std::copysign(std::pow(std::abs(c), 0.65f), c),
                  y = std::copysign(std::pow(std::abs(n), 0.65f), n);
      lens.push_back(point(cx + half_width * x, cy + half_height * y));
    }
    if (dark) {
      const Point2 top = point(cx, cy - half_height), bottom = point(cx, cy + half_height);
      scene_.paint_with(scene_.coverage(lens), [&](float, float y) {
        const float t = clamp01((y - top.y) / std::max(1.0f, bottom.y - top.y));
        return Rgb{0.015f, 0.015f, 0.02f} + key_ * (0.05f * t * t);
      });
    } else {
      scene_.fill(lens, {0.93f, 0.95f, 0.96f}, 0.5f, Blend::multiply);
      const Point2 glare[2] = {point(cx - 0.09f, cy + 0.03f), point(cx + 0.02f, cy - 0.085f)};
      scene_.stroke(glare, px(0.035f), key_, 0.10f + 0.08f * std::abs(light_.x), Blend::add, 0.5f);
    }
    lens.push_back(lens.front());
    scene_.stroke(lowered(lens, px(0.02f)), px(weight * 1.6f), {0.6f, 0.55f, 0.52f}, 0.35f, Blend::multiply,
                  0);
    scene_.stroke(lens, px(weight), frame, 0.95f, Blend::over, 0);
    const int index = side > 0;
    inner[index] = point(cx - s * half_width, cy - 0.04f);
    outer[index] = point(cx + s * half_width, cy - 0.05f);
    if (s * p_.pose.yaw < 0.25f) {
      const Point2 temple[2] = {
          outer[index], geometry_.project({s * (geometry_.section(0).half_width + 0.02f), 0.0f, 0.0f})};
      scene_.stroke(temple, px(weight), frame, 0.9f, Blend::over, 0);
    }
  }
  const Point2 middle = geometry_.project({0, -0.045f, z + 0.03f});
  const Point2 bridge[3] = {inner[0], middle, inner[1]};
  scene_.stroke(spline(bridge, steps_), px(weight), frame, 0.95f, Blend::over, 0);
}

void FaceRenderer::draw_occlusion() {
  const FaceOcclusion& o = p_.occlusion;
  const auto place = [&](float x, float y) {
    const float c = std::cos(o.angle), s = std::sin(o.angle);
    return geometry_.project({o.x + c * x - s * y, o.y + s * x + c * y, 0.75f});
  };
  const Rgb light = light_at({0, 0, 1});
  if (o.kind == OcclusionKind::hand) {
    const float k = 0.55f + 0.5f * o.size;
    const Rgb skin = o.colour;
    const auto finger = [&](Point2 a, Point2 b, float width) {
      const Point2 from = place(a.x * k, a.y * k), to = place(b.x * k, b.y * k);
      const float radius = px(width * k);
      const float dx = to.x - from.x, dy = to.y - from.y,
                  length = std::sqrt(std::max(1e-3f, dx * dx + dy * dy));
      scene_.stroke(std::array<Point2, 2>{{{from.x, from.y + 0.4f * radius}, {to.x, to.y + 0.4f * radius}}},
                    radius * 1.6f, {0.5f, 0.42f, 0.4f}, 0.6f, Blend::multiply, 0);
      scene_.paint_with(scene_.coverage(capsule(from, to, radius, radius * 0.82f)), [&](float x, float y) {
        const float across =
            std::clamp(((x - from.x) * dy - (y - from.y) * dx) / (length * radius), -1.0f, 1.0f);
        const Vec3 n = normalized(
            {across * dy / length, -across * dx / length, std::sqrt(std::max(0.05f, 1 - across * across))});
        return skin * light_at(n) * (0.8f + 0.2f * n.z);
      });
      scene_.spot({to.x - dx / length * radius * 0.1f, to.y - dy / length * radius * 0.1f}, radius * 0.4f,
                  radius * 0.4f, 0, {1.12f, 0.98f, 0.95f}, 0.8f, Blend::multiply);
    };
    finger({-0.05f, 0.75f}, {-0.02f, 0.35f}, 0.30f);  // palm
    for (int i = 0; i < 4; ++i) {
      const float x = -0.255f + 0.165f * i;
      finger({x, 0.35f}, {x * 1.15f, -0.28f - 0.07f * (i == 1 || i == 2)}, 0.088f);
    }
    finger({0.2f, 0.55f}, {0.48f, 0.18f}, 0.095f);  // thumb
  } else if (o.kind == OcclusionKind::hair_lock) {
    const float side = o.x < 0 ? -1.0f : 1.0f;
    const Point2 lock[8] = {
        {0.05f, -0.80f}, {0.32f, -0.72f}, {0.62f, -0.42f}, {0.66f, 0.0f}, {0.52f, 0.35f + 0.2f * o.size},
        {0.46f, 0.02f},  {0.36f, -0.25f}, {0.20f, -0.52f}};
    std::vector<Point2> outline;
    for (const Point2& q : lock)
      outline.push_back(geometry_.project({side * (q.x - 0.16f * o.size), q.y, 0.62f - 0.3f * q.x}));
    const Point2 origin = geometry_.project({0, 0, 0.5f});
    const float inverse = 1 / px(1);
    scene_.paint_with(scene_.coverage(spline(outline, steps_, true)), [&](float x, float y) {
      const float u = (x - origin.x) * inverse * side, v = (y - origin.y) * inverse;
      return strand_colour(u * 0.8f - v * 0.45f, v + u) * light;
    });
  } else if (o.kind == OcclusionKind::bar) {
    const float half = 0.10f + 0.10f * o.size;
    const Point2 bar[4] = {place(-1.3f, -half), place(1.3f, -half), place(1.3f, half), place(-1.3f, half)};
    scene_.fill(bar, o.colour);
  } else if (o.kind == OcclusionKind::object) {  // a cup
    const float r = 0.22f + 0.16f * o.size;
    const Point2 cup[4] = {place(-r, -r), place(r, -r), place(0.8f * r, 3.2f * r),
                           place(-0.8f * r, 3.2f * r)};
    const Point2 left = cup[0], right = cup[1];
    scene_.paint_with(scene_.coverage(cup), [&](float x, float) {
      const float t = std::clamp(2 * (x - left.x) / std::max(1.0f, right.x - left.x) - 1, -1.0f, 1.0f);
      return o.colour * light_at(normalized({t, 0, std::sqrt(std::max(0.05f, 1 - t * t))}));
    });
    scene_.fill(ellipse(place(0, -r), px(r), px(0.28f * r), p_.pose.roll + o.angle, 28),
                o.colour * 0.6f * light);
    scene_.fill(ellipse(place(0, -0.97f * r), px(0.88f * r), px(0.2f * r), p_.pose.roll + o.angle, 28),
                o.colour * 0.18f);
  }
}

}  // namespace fer::detail
