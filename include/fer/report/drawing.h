// A drawing of rectangles, lines, marks and text that is written as SVG or pixels. Coordinates are in points,
// y downwards. A chart is laid out once, so both kinds of file show the same.
//
//   fer::Drawing d(200, 100);
//   d.rect({10, 10, 80, 40}, {.fill = fer::palette(0)});
//   d.text(50, 30, "42 %", {.anchor = fer::Anchor::middle});
//   write_file_atomically("figure.svg", d.svg());
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fer/data/image.h"
#include "fer/report/colour.h"

namespace fer {

struct Rect {
  double x = 0, y = 0, width = 0, height = 0;
};

using Points = std::vector<std::pair<double, double>>;

/// How a shape is painted. The colours are for light paper. `role` becomes a CSS class in SVG, so that a page
/// can override the colours, for example in dark mode.
struct Paint {
  std::optional<Colour> fill{}, stroke{};
  double stroke_width = 1;
  double opacity = 1;
  std::string dash{};  ///< "6 3": lengths of dashes and gaps; empty: a solid line
  std::string role{};
};

enum class Anchor { start, middle, end };

struct TextStyle {
  double size = 12;
  Anchor anchor = Anchor::start;
  Colour colour{26, 26, 26};
  double rotation = 0;  ///< degrees, clockwise, about the text's position
  bool bold = false;
  std::string role = "ink";
};

class Drawing {
 public:
  /// ConfigError unless both are positive and at most 20000.
  Drawing(double width, double height);

  double width() const { return width_; }
  double height() const { return height_; }

  void rect(const Rect& rect, const Paint& paint, std::string tooltip = {});
  void polyline(Points points, const Paint& paint);
  void polygon(Points points, const Paint& paint, std::string tooltip = {});
  void circle(double x, double y, double radius, const Paint& paint, std::string tooltip = {});
  /// (x, y) is the start, middle or end of the baseline, as style.anchor says.
  void text(double x, double y, std::string text, const TextStyle& style = {});
  /// An RGB or grey picture stretched over `rect`.
  void image(const Rect& rect, Image picture);
  /// Adds all shapes of `other`, with its origin at (x, y).
  void add(const Drawing& other, double x, double y);

  /// The drawing as an SVG document. `title` is for screen readers. `paper` paints the background white;
  /// pages with their own background pass false.
  std::string svg(const std::string& title, bool paper = true) const;
  /// The drawing as pixels on white, `scale` pixels per point.
  Image raster(double scale = 2) const;

 private:
  struct RectShape {
    Rect rect;
    Paint paint;
    std::string tooltip;
  };
  struct PathShape {
    Points points;
    bool closed;
    Paint paint;
    std::string tooltip;
  };
  struct CircleShape {
    double x, y, radius;
    Paint paint;
    std::string tooltip;
  };
  struct TextShape {
    double x, y;
    std::string text;
    TextStyle style;
  };
  struct ImageShape {
    Rect rect;
    Image picture;
  };
  using Shape = std::variant<RectShape, PathShape, CircleShape, TextShape, ImageShape>;

  double width_, height_;
  std::vector<Shape> shapes_;
};

/// Replaces &, <, >, " and ' by entities, control characters, which XML forbids, by spaces, and bytes that
/// are not UTF-8 by question marks.
std::string xml_escape(const std::string& text);
/// A number with at most three decimals and no trailing zeros: "0.5", "12".
std::string number_text(double value);
/// An upper bound on the width of a line of text in the usual sans-serif fonts.
double text_width(const std::string& text, double size, bool bold = false);
std::string base64(const std::vector<std::uint8_t>& bytes);
/// "data:image/png;base64,..."
std::string data_uri(const Image& picture);
/// Writes .svg, .png or .jpg, by the extension of `path`; ConfigError for any other.
void write_drawing(const std::filesystem::path& path, const Drawing& drawing, const std::string& title,
                   double scale = 2);

}  // namespace fer
