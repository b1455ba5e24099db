// A small painter for drawn faces: anti-aliased polygons (exact area coverage), soft strokes and soft spots
// on three planes of linear light.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "fer/data/faces.h"

namespace fer::detail {

inline float clamp01(float v) {
  return std::clamp(v, 0.0f, 1.0f);
}
inline float mix(float a, float b, float t) {
  return a + (b - a) * t;
}
inline Rgb mix(const Rgb& a, const Rgb& b, float t) {
  return {mix(a.r, b.r, t), mix(a.g, b.g, t), mix(a.b, b.b, t)};
}
inline Rgb operator*(const Rgb& a, float k) {
  return {a.r * k, a.g * k, a.b * k};
}
inline Rgb operator*(const Rgb& a, const Rgb& b) {
  return {a.r * b.r, a.g * b.g, a.b * b.b};
}
inline Rgb operator+(const Rgb& a, const Rgb& b) {
  return {a.r + b.r, a.g + b.g, a.b + b.b};
}
inline Point2 mix(Point2 a, Point2 b, float t) {
  return {mix(a.x, b.x, t), mix(a.y, b.y, t)};
}
/// 0 below `low`, 1 above `high`, smooth between them (low may be greater than high).
inline float smooth_step(float low, float high, float v) {
  const float t = clamp01((v - low) / (high - low));
  return t * t * (3 - 2 * t);
}
/// An inexpensive approximation of exp(-t^2 / 2), zero for |t| >= 4.
inline float bell(float t) {
  float v = std::max(0.0f, 1 - t * t * (1.0f / 16));
  v *= v;
  v *= v;
  return v * v;
}

using Path = std::vector<Point2>;

/// Catmull-Rom curve through `points`, with `steps` pieces per segment. Closed curves do not repeat their
/// first point.
Path spline(std::span<const Point2> points, int steps, bool closed = false);
/// A closed ellipse; `angle` turns its first axis.
Path ellipse(Point2 center, float rx, float ry, float angle = 0, int steps = 20);

/// Coverage, 0 to 1, of the pixels of a rectangle.
struct Mask {
  int x0 = 0, y0 = 0, width = 0, height = 0;
  std::vector<float> values;

  float* row(int y) { return values.data() + static_cast<std::size_t>(y) * width; }
  const float* row(int y) const { return values.data() + static_cast<std::size_t>(y) * width; }
};

enum class Blend { over, multiply, add };

/// Three planes of size x size linear values.
class Canvas {
 public:
  explicit Canvas(int size) : size_(size), planes_(static_cast<std::size_t>(size) * size * 3) {}

  int size() const { return size_; }
  void clear() { std::fill(planes_.begin(), planes_.end(), 0.0f); }
  float* row(int channel, int y) {
    return planes_.data() + (static_cast<std::size_t>(channel) * size_ + y) * size_;
  }
  const float* row(int channel, int y) const {
    return planes_.data() + (static_cast<std::size_t>(channel) * size_ + y) * size_;
  }

  /// Area coverage of the polygon, clipped to the canvas.
  Mask coverage(std::span<const Point2> polygon) const;

  void paint(const Mask& mask, const Rgb& colour, float opacity = 1, Blend blend = Blend::over);
  void fill(std::span<const Point2> polygon, const Rgb& colour, float opacity = 1, Blend blend = Blend::over);
  /// colour(x, y) at pixel centres.
  template <typename Colour>
  void paint_with(const Mask& mask, Colour&& colour);

  /// A line whose darkness falls off smoothly from its middle to `width` (pixels). `taper` makes it thinner
  /// towards both ends (0: not, 1: to a point). Blends by `blend`.
  void stroke(std::span<const Point2> line, float width, const Rgb& colour, float opacity,
              Blend blend = Blend::over, float taper = 0.8f);
  /// A soft elliptic spot with standard deviations rx, ry (pixels).
  void spot(Point2 center, float rx, float ry, float angle, const Rgb& colour, float opacity,
            Blend blend = Blend::over);

 private:
  void blend_row(int y, int x0, int count, const float* alpha, const Rgb& colour, float opacity, Blend blend);

  int size_;
  std::vector<float> planes_;
  mutable std::vector<float> scratch_;
};

template <typename Colour>
void Canvas::paint_with(const Mask& mask, Colour&& colour) {
  for (int y = 0; y < mask.height; ++y) {
    const float* alpha = mask.row(y);
    float* planes[3] = {row(0, mask.y0 + y) + mask.x0, row(1, mask.y0 + y) + mask.x0,
                        row(2, mask.y0 + y) + mask.x0};
    for (int x = 0; x < mask.width; ++x) {
      if (alpha[x] <= 0) continue;
      const Rgb c = colour(mask.x0 + x + 0.5f, mask.y0 + y + 0.5f);
      planes[0][x] += alpha[x] * (c.r - planes[0][x]);
      planes[1][x] += alpha[x] * (c.g - planes[1][x]);
      planes[2][x] += alpha[x] * (c.b - planes[2][x]);
    }
  }
}

/// The largest integer not above v. std::floor is a function call on processors without SSE4.1.
inline int floor_to_int(float v) {
  const int i = static_cast<int>(v);
  return i - (v < static_cast<float>(i));
}
inline int ceil_to_int(float v) {
  return -floor_to_int(-v);
}

constexpr int noise_size = 64;
extern const std::array<float, noise_size * noise_size> noise_table;

/// Smooth noise in [0, 1] with period 64 in x and y, always the same; shift x and y to vary it.
inline float smooth_noise(float x, float y) {
  const int ix = floor_to_int(x), iy = floor_to_int(y);
  float tx = x - static_cast<float>(ix), ty = y - static_cast<float>(iy);
  tx = tx * tx * (3 - 2 * tx);
  ty = ty * ty * (3 - 2 * ty);
  const int x0 = ix & (noise_size - 1), x1 = (ix + 1) & (noise_size - 1);
  const float* above = &noise_table[(iy & (noise_size - 1)) * noise_size];
  const float* below = &noise_table[((iy + 1) & (noise_size - 1)) * noise_size];
  return mix(mix(above[x0], above[x1], tx), mix(below[x0], below[x1], tx), ty);
}

}  // namespace fer::detail
