// A drawing of rectangles, lines, marks and text that becomes SVG or pixels. Charts are laid out once, in
// points with y downwards, and both kinds of file show the same.
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

/// How a shape is painted. `role` becomes a CSS class in SVG, by which a page can give it other colours (ink
/// and paper change places in the dark); the colours here are for light paper.
struct Paint {
  std::optional<Colour> fill{}, stroke{};
  double stroke_width = 1;
  double opacity = 1;
  std::string dash{};  ///< "6 3": lengths of dashes and gaps; empty: an unbroken line
  std::string role{};
};

enum class Anchor { start, middle, end };

struct TextStyle {
  double size = 12;
  Anchor anchor = Anchor::start;
  Colour colour{26, 26, 26};
  double rotation = 0;  ///< degrees, clockwise, about the point given
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
  /// x, y: the point of the baseline that `anchor` names.
  void text(double x, double y, std::string text, const TextStyle& style = {});
  /// An RGB or grey picture stretched over `rect`.
  void image(const Rect& rect, Image picture);
  /// All of `other`, its origin at (x, y).
  void add(const Drawing& other, double x, double y);

  /// The drawing as an SVG document. `title` names it for screen readers; `paper` paints the ground white (a
  /// page that shows its own ground leaves it out).
  std::string svg(const std::string& title, bool paper = true) const;
  /// The same as pixels on white, `scale` a point.
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

/// `text` with &, <, >, " and ' as entities; control characters, which XML forbids, as spaces;
/// bytes that are not UTF-8 as question marks.
std::string xml_escape(const std::string& text);
/// A number with at most three decimals and no trailing zeros: "0.5", "12".
std::string number_text(double value);
/// Width of a line of text, an upper bound for the usual sans-serif fonts.
double text_width(const std::string& text, double size, bool bold = false);
std::string base64(const std::vector<std::uint8_t>& bytes);
/// "data:image/png;base64,..."
std::string data_uri(const Image& picture);
/// Writes .svg, .png or .jpg as the extension says; ConfigError for another.
void write_drawing(const std::filesystem::path& path, const Drawing& drawing, const std::string& title,
                   double scale = 2);

}  // namespace fer
