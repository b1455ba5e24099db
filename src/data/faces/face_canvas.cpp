// The painter of drawn faces. Polygons are filled from accumulated signed areas: every edge adds, to each
// pixel that it crosses, the area to its right within the pixel. A running sum over a row is then the exact
// coverage.
#include "data/faces/face_canvas.h"

#include <array>
#include <limits>
#include <numbers>

#include "fer/tensor/random.h"

namespace fer::detail {
namespace {

struct Bounds {
  float x0 = std::numeric_limits<float>::max(), y0 = x0, x1 = -x0, y1 = -x0;

  explicit Bounds(std::span<const Point2> points) {
    for (const Point2& p : points) {
      x0 = std::min(x0, p.x);
      y0 = std::min(y0, p.y);
      x1 = std::max(x1, p.x);
      y1 = std::max(y1, p.y);
    }
  }
};

/// Adds the areas of one edge's part within a pixel row (coordinates relative to the mask) to `cells`.
void add_row(float* cells, float x0, float x1, float height) {
  const float left = std::min(x0, x1), right = std::max(x0, x1);
  const int first = static_cast<int>(left);
  const int last = ceil_to_int(right);
  if (last <= first + 1) {  // within one pixel
    const float covered = 1 - (0.5f * (left + right) - first);
    cells[first] += height * covered;
    cells[first + 1] += height * (1 - covered);
    return;
  }
  const float slope = height / (right - left);  // height gained per pixel
  const float start = 1 - (left - first);
  float before = 0.5f * slope * start * start;
  cells[first] += before;
  float filled = before;
  for (int i = first + 1; i < last - 1; ++i) {
    const float sum = slope * (start + (i - first) - 0.5f);
    cells[i] += sum - filled;
    filled = sum;
  }
  const float rest = right - (last - 1);
  const float sum = height - 0.5f * slope * rest * rest;
  cells[last - 1] += sum - filled;
  cells[last] += height - sum;
}

void add_edge(std::vector<float>& cells, int width, int height, Point2 a, Point2 b) {
  if (a.y == b.y) return;
  const float direction = a.y < b.y ? 1.0f : -1.0f;
  if (a.y > b.y) std::swap(a, b);
  const float dxdy = (b.x - a.x) / (b.y - a.y);
  const float top = std::max(a.y, 0.0f), bottom = std::min(b.y, static_cast<float>(height));
  for (int y = static_cast<int>(top); y < bottom; ++y) {
    const float y0 = std::max(top, static_cast<float>(y)), y1 = std::min(bottom, y + 1.0f);
    if (y1 <= y0) continue;
    const float x0 = std::clamp(a.x + (y0 - a.y) * dxdy, 0.0f, static_cast<float>(width));
    const float x1 = std::clamp(a.x + (y1 - a.y) * dxdy, 0.0f, static_cast<float>(width));
    add_row(&cells[static_cast<std::size_t>(y) * (width + 2)], x0, x1, direction * (y1 - y0));
  }
}

std::array<float, noise_size * noise_size> make_noise() {
  std::array<float, noise_size * noise_size> values{};
  Random random({0, fnv1a64("faces.noise"), 0});
  for (float& v : values) v = static_cast<float>(random.uniform());
  return values;
}

}  // namespace

const std::array<float, noise_size* noise_size> noise_table = make_noise();

Path spline(std::span<const Point2> points, int steps, bool closed) {
  const int n = static_cast<int>(points.size());
  const auto at = [&](int i) { return points[closed ? (i + n) % n : std::clamp(i, 0, n - 1)]; };
  Path path;
  path.reserve(static_cast<std::size_t>(n) * steps + 1);
  for (int i = 0; i < (closed ? n : n - 1); ++i) {
    const Point2 p0 = at(i - 1), p1 = at(i), p2 = at(i + 1), p3 = at(i + 2);
    for (int k = 0; k < steps; ++k) {
      const float t = static_cast<float>(k) / steps, t2 = t * t, t3 = t2 * t;
      const float w0 = -0.5f * t3 + t2 - 0.5f * t, w1 = 1.5f * t3 - 2.5f * t2 + 1;
      const float w2 = -1.5f * t3 + 2 * t2 + 0.5f * t, w3 = 0.5f * t3 - 0.5f * t2;
      path.push_back(
          {w0 * p0.x + w1 * p1.x + w2 * p2.x + w3 * p3.x, w0 * p0.y + w1 * p1.y + w2 * p2.y + w3 * p3.y});
    }
  }
  if (!closed) path.push_back(points[n - 1]);
  return path;
}

Path ellipse(Point2 center, float rx, float ry, float angle, int steps) {
  Path path(steps);
  const float c = std::cos(angle), s = std::sin(angle);
  for (int i = 0; i < steps; ++i) {
    const float t = 2 * std::numbers::pi_v<float> * i / steps;
    const float x = rx * std::cos(t), y = ry * std::sin(t);
    path[i] = {center.x + c * x - s * y, center.y + s * x + c * y};
  }
  return path;
}

Mask Canvas::coverage(std::span<const Point2> polygon) const {
  Mask mask;
  const Bounds bounds(polygon);
  const float limit = static_cast<float>(size_);
  if (polygon.size() < 3 || !(bounds.x1 > 0 && bounds.y1 > 0 && bounds.x0 < limit && bounds.y0 < limit))
    return mask;
  mask.x0 = static_cast<int>(std::max(bounds.x0, 0.0f));
  mask.y0 = static_cast<int>(std::max(bounds.y0, 0.0f));
  mask.width = ceil_to_int(std::min(bounds.x1, limit)) - mask.x0;
  mask.height = ceil_to_int(std::min(bounds.y1, limit)) - mask.y0;
  const int stride = mask.width + 2;
  scratch_.assign(static_cast<std::size_t>(stride) * mask.height, 0.0f);
  for (std::size_t i = 0; i < polygon.size(); ++i) {
    const Point2 a = polygon[i], b = polygon[i + 1 == polygon.size() ? 0 : i + 1];
    add_edge(scratch_, mask.width, mask.height, {a.x - mask.x0, a.y - mask.y0},
             {b.x - mask.x0, b.y - mask.y0});
  }
  mask.values.resize(static_cast<std::size_t>(mask.width) * mask.height);
  for (int y = 0; y < mask.height; ++y) {
    const float* cells = &scratch_[static_cast<std::size_t>(y) * stride];
    float* out = mask.row(y);
    float sum = 0;
    for (int x = 0; x < mask.width; ++x) {
      sum += cells[x];
      const float area = std::abs(sum);
      out[x] = area < 1e-4f ? 0.0f : std::min(area, 1.0f);
    }
  }
  return mask;
}

void Canvas::blend_row(int y, int x0, int count, const float* alpha, const Rgb& colour, float opacity,
                       Blend blend) {
  const float c[3] = {colour.r, colour.g, colour.b};
  for (int k = 0; k < 3; ++k) {
    float* to = row(k, y) + x0;
    const float value = c[k];
    if (blend == Blend::over) {
      for (int x = 0; x < count; ++x) to[x] += alpha[x] * opacity * (value - to[x]);
    } else if (blend == Blend::multiply) {
      for (int x = 0; x < count; ++x) to[x] *= 1 + alpha[x] * opacity * (value - 1);
    } else {
      for (int x = 0; x < count; ++x) to[x] += alpha[x] * opacity * value;
    }
  }
}

void Canvas::paint(const Mask& mask, const Rgb& colour, float opacity, Blend blend) {
  for (int y = 0; y < mask.height; ++y) {
    blend_row(mask.y0 + y, mask.x0, mask.width, mask.row(y), colour, opacity, blend);
  }
}

void Canvas::fill(std::span<const Point2> polygon, const Rgb& colour, float opacity, Blend blend) {
  if (opacity > 0) paint(coverage(polygon), colour, opacity, blend);
}

void Canvas::stroke(std::span<const Point2> line, float width, const Rgb& colour, float opacity, Blend blend,
                    float taper) {
  if (opacity <= 0.004f || line.size() < 2) return;
  width = std::max(width, 0.6f);  // thinner lines would alias
  const Bounds bounds(line);
  const int x0 = std::max(0, static_cast<int>(bounds.x0 - width)),
            y0 = std::max(0, static_cast<int>(bounds.y0 - width));
  const int x1 = std::min(size_, static_cast<int>(bounds.x1 + width) + 2);
  const int y1 = std::min(size_, static_cast<int>(bounds.y1 + width) + 2);
  if (x0 >= x1 || y0 >= y1) return;
  const int n = x1 - x0;
  scratch_.assign(static_cast<std::size_t>(n) * (y1 - y0), 0.0f);
  const int segments = static_cast<int>(line.size()) - 1;
  for (int i = 0; i < segments; ++i) {
    const Point2 a = line[i], b = line[i + 1];
    const float dx = b.x - a.x, dy = b.y - a.y, length2 = std::max(dx * dx + dy * dy, 1e-6f);
    const int left = std::max(x0, static_cast<int>(std::min(a.x, b.x) - width));
    const int right = std::min(x1, static_cast<int>(std::max(a.x, b.x) + width) + 2);
    const int top = std::max(y0, static_cast<int>(std::min(a.y, b.y) - width));
    const int bottom = std::min(y1, static_cast<int>(std::max(a.y, b.y) + width) + 2);
    for (int y = top; y < bottom; ++y) {
      float* out = &scratch_[static_cast<std::size_t>(y - y0) * n];
      for (int x = left; x < right; ++x) {
        const float px = x + 0.5f - a.x, py = y + 0.5f - a.y;
        const float t = clamp01((px * dx + py * dy) / length2);
        const float ex = px - t * dx, ey = py - t * dy;
        const float along = 2 * (i + t) / segments - 1;  // -1 to 1 along the line
        const float w = width * (1 - taper * along * along);
        const float v = std::max(0.0f, 1 - (ex * ex + ey * ey) / std::max(w * w, 0.05f));
        out[x - x0] = std::max(out[x - x0], v * v * std::min(1.0f, w * 1.5f));
      }
    }
  }
  for (int y = y0; y < y1; ++y) {
    blend_row(y, x0, n, &scratch_[static_cast<std::size_t>(y - y0) * n], colour, opacity, blend);
  }
}

void Canvas::spot(Point2 center, float rx, float ry, float angle, const Rgb& colour, float opacity,
                  Blend blend) {
  if (opacity <= 0.004f) return;
  const float reach = 2.6f * std::max(rx, ry);
  const int x0 = std::max(0, static_cast<int>(center.x - reach)),
            x1 = std::min(size_, static_cast<int>(center.x + reach) + 1);
  const int y0 = std::max(0, static_cast<int>(center.y - reach)),
            y1 = std::min(size_, static_cast<int>(center.y + reach) + 1);
  if (x0 >= x1) return;
  const float c = std::cos(angle), s = std::sin(angle), kx = 1 / std::max(rx, 0.3f),
              ky = 1 / std::max(ry, 0.3f);
  scratch_.resize(x1 - x0);
  for (int y = y0; y < y1; ++y) {
    const float dy = y + 0.5f - center.y;
    for (int x = x0; x < x1; ++x) {
      const float dx = x + 0.5f - center.x;
      const float u = (c * dx + s * dy) * kx, v = (c * dy - s * dx) * ky;
      float w = std::max(0.0f, 1 - (u * u + v * v) * 0.148f);  // zero at 2.6 standard deviations
      w *= w;
      scratch_[x - x0] = w * w;
    }
    blend_row(y, x0, x1 - x0, scratch_.data(), colour, opacity, blend);
  }
}

}  // namespace fer::detail
