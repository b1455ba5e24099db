// Paints shapes by coverage: each pixel is sampled at 4 x 4 points (text at 3 x 3) and blended by the share
// of points inside the shape. This one rule smooths edges at any angle and size.
#include "fer/report/picture.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "fer/error.h"
#include "report/font.h"

namespace fer {
namespace {

void mix(std::uint8_t* pixel, Colour colour, double share) {
  const double parts[] = {static_cast<double>(colour.r), static_cast<double>(colour.g),
                          static_cast<double>(colour.b)};
  for (int c = 0; c < 3; ++c) {
    pixel[c] = static_cast<std::uint8_t>(std::lround(pixel[c] + (parts[c] - pixel[c]) * share));
  }
}

/// Blends `colour` into the pixels of the box by the share of n x n sample points with `inside(x, y)`.
template <typename Inside>
void paint(Image& image, double left, double top, double right, double bottom, Colour colour, double opacity,
           int n, Inside inside) {
  require<ShapeError>(image.channels == 3, "painting needs an RGB picture, got ", image.channels,
                      " channels");
  const auto bounded = [](double v, int limit) { return static_cast<int>(std::clamp(v, 0.0, 1.0 * limit)); };
  const int x0 = bounded(std::floor(left), image.width), x1 = bounded(std::ceil(right), image.width);
  const int y0 = bounded(std::floor(top), image.height), y1 = bounded(std::ceil(bottom), image.height);
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) {
      int hits = 0;
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) hits += inside(x + (j + 0.5) / n, y + (i + 0.5) / n) ? 1 : 0;
      }
      if (hits > 0) mix(image.row(y) + 3 * x, colour, opacity * hits / (n * n));
    }
  }
}

/// The glyphs of a text. A character outside the font becomes one box, however many bytes encode it.
std::vector<const detail::Glyph*> glyphs_of(const std::string& text) {
  std::vector<const detail::Glyph*> glyphs;
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if ((code & 0xc0) == 0x80) continue;  // a continuation byte of a UTF-8 character
    glyphs.push_back(code >= 32 && code < 127 ? &detail::font[code - 32] : &detail::missing_glyph);
  }
  return glyphs;
}

constexpr int glyph_advance = 6;     // columns between the starts of characters
constexpr double cells_per_em = 10;  // rows of the grid per text size

}  // namespace

void fill_rect(Image& image, double x, double y, double width, double height, Colour colour, double opacity) {
  paint(image, x, y, x + width, y + height, colour, opacity, 4,
        [&](double px, double py) { return px >= x && px < x + width && py >= y && py < y + height; });
}

void draw_disc(Image& image, double x, double y, double radius, Colour colour, double opacity) {
  paint(image, x - radius, y - radius, x + radius, y + radius, colour, opacity, 4,
        [&](double px, double py) { return (px - x) * (px - x) + (py - y) * (py - y) <= radius * radius; });
}

void draw_line(Image& image, double x0, double y0, double x1, double y1, double thickness, Colour colour,
               double opacity) {
  const double half = thickness / 2, dx = x1 - x0, dy = y1 - y0, squared = dx * dx + dy * dy;
  paint(image, std::min(x0, x1) - half, std::min(y0, y1) - half, std::max(x0, x1) + half,
        std::max(y0, y1) + half, colour, opacity, 4, [&](double px, double py) {
          const double along =
              squared > 0 ? std::clamp(((px - x0) * dx + (py - y0) * dy) / squared, 0.0, 1.0) : 0;
          const double ex = px - x0 - along * dx, ey = py - y0 - along * dy;
          return ex * ex + ey * ey <= half * half;
        });
}

void fill_polygon(Image& image, const std::vector<std::pair<double, double>>& points, Colour colour,
                  double opacity) {
  if (points.empty()) return;
  double left = points[0].first, right = left, top = points[0].second, bottom = top;
  for (const auto& [x, y] : points) {
    left = std::min(left, x), right = std::max(right, x);
    top = std::min(top, y), bottom = std::max(bottom, y);
  }
  paint(image, left, top, right, bottom, colour, opacity, 4, [&](double px, double py) {
    bool inside = false;
    for (std::size_t i = 0, j = points.size() - 1; i < points.size(); j = i++) {
      const auto& [xi, yi] = points[i];
      const auto& [xj, yj] = points[j];
      if ((yi > py) != (yj > py) && px < (xj - xi) * (py - yi) / (yj - yi) + xi) inside = !inside;
    }
    return inside;
  });
}

double font_width(const std::string& text, double size) {
  return static_cast<double>(glyphs_of(text).size()) * glyph_advance * size / cells_per_em;
}

void draw_text(Image& image, double x, double y, const std::string& text, double size, Colour colour,
               double rotation, bool bold) {
  const std::vector<const detail::Glyph*> glyphs = glyphs_of(text);
  if (glyphs.empty()) return;
  const double cell = size / cells_per_em, width = font_width(text, size);
  const double angle = rotation * std::numbers::pi / 180, cosine = std::cos(angle), sine = std::sin(angle);
  double left = x, right = x, top = y, bottom = y;
  for (const double u : {0.0, width}) {
    for (const double v : {-8 * cell, 3 * cell}) {
      const double px = x + u * cosine - v * sine, py = y + u * sine + v * cosine;
      left = std::min(left, px), right = std::max(right, px);
      top = std::min(top, py), bottom = std::max(bottom, py);
    }
  }
  const auto is_set = [&](int column, int row) {
    if (column < 0) return false;
    const auto glyph = static_cast<std::size_t>(column / glyph_advance);
    const int bit = 4 - column % glyph_advance;
    if (glyph >= glyphs.size() || bit < 0) return false;
    row -= glyphs[glyph]->descent;
    return row >= 0 && row < 7 && ((glyphs[glyph]->rows[row] >> bit) & 1) != 0;
  };
  paint(image, left, top, right + cell, bottom, colour, 1, 3, [&](double px, double py) {
    const double u = (px - x) * cosine + (py - y) * sine, v = (py - y) * cosine - (px - x) * sine;
    const int row = static_cast<int>(std::floor(v / cell)) + 7;
    if (is_set(static_cast<int>(std::floor(u / cell)), row)) return true;
    return bold && is_set(static_cast<int>(std::floor(u / cell - 0.5)), row);
  });
}

HeatMap normalised(HeatMap map) {
  if (map.values.empty()) return map;
  const auto [low, high] = std::minmax_element(map.values.begin(), map.values.end());
  const float least = *low, span = *high - least;
  for (float& v : map.values) v = span > 0 ? (v - least) / span : 0.0f;
  return map;
}

Image overlay_heat(const Image& image, const HeatMap& map, double opacity) {
  require<ShapeError>(
      map.height > 0 && map.width > 0 &&
          map.values.size() == static_cast<std::size_t>(map.height) * static_cast<std::size_t>(map.width),
      "[overlay_heat] a map of ", map.height, " x ", map.width, " cannot have ", map.values.size(),
      " values");
  Image out = to_rgb(image);
  const auto value = [&](int y, int x) {
    y = std::clamp(y, 0, map.height - 1), x = std::clamp(x, 0, map.width - 1);
    const std::size_t row = static_cast<std::size_t>(y) * static_cast<std::size_t>(map.width);
    return static_cast<double>(map.values[row + static_cast<std::size_t>(x)]);
  };
  for (int y = 0; y < out.height; ++y) {
    // Cells are areas, so values apply at their centres.
    const double v = (y + 0.5) * map.height / out.height - 0.5;
    const int y0 = static_cast<int>(std::floor(v));
    const double fy = v - y0;
    for (int x = 0; x < out.width; ++x) {
      const double u = (x + 0.5) * map.width / out.width - 0.5;
      const int x0 = static_cast<int>(std::floor(u));
      const double fx = u - x0;
      const double heat = (1 - fy) * ((1 - fx) * value(y0, x0) + fx * value(y0, x0 + 1)) +
                          fy * ((1 - fx) * value(y0 + 1, x0) + fx * value(y0 + 1, x0 + 1));
      mix(out.row(y) + 3 * x, heat_colour(heat), opacity);
    }
  }
  return out;
}

void draw_landmarks(Image& image, const Landmarks& landmarks, double radius, Colour colour) {
  for (const Point2& p : landmarks) {
    draw_disc(image, p.x * image.width, p.y * image.height, 1.6 * radius, {0, 0, 0});
  }
  for (const Point2& p : landmarks) {
    draw_disc(image, p.x * image.width, p.y * image.height, radius, colour);
  }
}

}  // namespace fer
