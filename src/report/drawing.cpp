#include "fer/report/drawing.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "fer/error.h"
#include "fer/formats/atomic_file.h"
#include "fer/report/picture.h"

namespace fer {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

std::string attribute(const char* name, const std::string& value) {
  return concat(" ", name, "=\"", xml_escape(value), "\"");
}
std::string attribute(const char* name, double value) {
  return concat(" ", name, "=\"", number_text(value), "\"");
}

std::string paint_attributes(const Paint& paint) {
  std::string text;
  if (!paint.role.empty()) text += attribute("class", paint.role);
  text += attribute("fill", paint.fill ? hex(*paint.fill) : "none");
  if (paint.stroke) {
    text += attribute("stroke", hex(*paint.stroke)) + attribute("stroke-width", paint.stroke_width);
    text += attribute("stroke-linejoin", "round") + attribute("stroke-linecap", "round");
    if (!paint.dash.empty()) text += attribute("stroke-dasharray", paint.dash);
  }
  if (paint.opacity < 1) text += attribute("opacity", paint.opacity);
  return text;
}

/// An element, with a tooltip inside if there is one.
std::string element(const char* name, const std::string& attributes, const std::string& tooltip) {
  if (tooltip.empty()) return concat("<", name, attributes, "/>\n");
  return concat("<", name, attributes, "><title>", xml_escape(tooltip), "</title></", name, ">\n");
}

std::string points_text(const Points& points) {
  std::string text;
  for (const auto& [x, y] : points) {
    if (!text.empty()) text += " ";
    text += number_text(x) + "," + number_text(y);
  }
  return text;
}

/// Draws a dashed line. Dashes and gaps alternate and continue around corners.
void raster_polyline(Image& image, const Points& points, const Paint& paint, double scale) {
  std::vector<double> lengths;
  std::istringstream dash(paint.dash);
  for (double length; dash >> length;) lengths.push_back(std::max(0.5, length));
  std::size_t phase = 0;
  double left = lengths.empty() ? 0 : lengths[0];
  for (std::size_t i = 1; i < points.size(); ++i) {
    const auto& [x, y] = points[i - 1];
    const double dx = points[i].first - x, dy = points[i].second - y, length = std::hypot(dx, dy);
    const auto draw = [&, x0 = x, y0 = y](double from, double to) {
      const double a = length > 0 ? from / length : 0, b = length > 0 ? to / length : 0;
      draw_line(image, scale * (x0 + a * dx), scale * (y0 + a * dy), scale * (x0 + b * dx),
                scale * (y0 + b * dy), scale * paint.stroke_width, *paint.stroke, paint.opacity);
    };
    if (lengths.empty()) {
      draw(0, length);
      continue;
    }
    for (double at = 0; at < length;) {
      const double step = std::min(left, length - at);
      if (phase % 2 == 0) draw(at, at + step);
      at += step;
      left -= step;
      if (left <= 1e-9) left = lengths[++phase % lengths.size()];
    }
  }
}

void raster_image(Image& target, const Rect& rect, const Image& picture, double scale) {
  const auto pixels = [scale](double v) { return static_cast<int>(std::lround(scale * v)); };
  const int left = pixels(rect.x), top = pixels(rect.y);
  const Image fitted =
      to_rgb(resize(picture, std::max(1, pixels(rect.height)), std::max(1, pixels(rect.width))));
  for (int y = std::max(0, -top); y < fitted.height && top + y < target.height; ++y) {
    for (int x = std::max(0, -left); x < fitted.width && left + x < target.width; ++x) {
      std::copy_n(fitted.row(y) + 3 * x, 3, target.row(top + y) + 3 * (left + x));
    }
  }
}

}  // namespace

Drawing::Drawing(double width, double height) : width_(width), height_(height) {
  require<ConfigError>(width > 0 && height > 0 && width <= 20000 && height <= 20000,
                       "a drawing must be 1 to 20000 points wide and high, got ", width, " x ", height);
}

void Drawing::rect(const Rect& rect, const Paint& paint, std::string tooltip) {
  shapes_.emplace_back(RectShape{rect, paint, std::move(tooltip)});
}

void Drawing::polyline(Points points, const Paint& paint) {
  if (!points.empty()) shapes_.emplace_back(PathShape{std::move(points), false, paint, {}});
}

void Drawing::polygon(Points points, const Paint& paint, std::string tooltip) {
  if (!points.empty()) shapes_.emplace_back(PathShape{std::move(points), true, paint, std::move(tooltip)});
}

void Drawing::circle(double x, double y, double radius, const Paint& paint, std::string tooltip) {
  shapes_.emplace_back(CircleShape{x, y, radius, paint, std::move(tooltip)});
}

void Drawing::text(double x, double y, std::string text, const TextStyle& style) {
  shapes_.emplace_back(TextShape{x, y, std::move(text), style});
}

void Drawing::image(const Rect& rect, Image picture) {
  shapes_.emplace_back(ImageShape{rect, std::move(picture)});
}

void Drawing::add(const Drawing& other, double x, double y) {
  const auto moved = [x, y](Points points) {
    for (auto& [px, py] : points) px += x, py += y;
    return points;
  };
  for (Shape shape : other.shapes_) {
    std::visit(
        Overloaded{[&](RectShape& s) { s.rect.x += x, s.rect.y += y; },
                   [&](PathShape& s) { s.points = moved(std::move(s.points)); },
                   [&](CircleShape& s) { s.x += x, s.y += y; }, [&](TextShape& s) { s.x += x, s.y += y; },
                   [&](ImageShape& s) { s.rect.x += x, s.rect.y += y; }},
        shape);
    shapes_.push_back(std::move(shape));
  }
}

std::string Drawing::svg(const std::string& title, bool paper) const {
  std::ostringstream out;
  const std::string w = number_text(width_), h = number_text(height_);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << w << "\" height=\"" << h
      << "\" viewBox=\"0 0 " << w << " " << h << "\" role=\"img\"" << attribute("aria-label", title)
      << " font-family=\"system-ui, Helvetica, Arial, sans-serif\">\n<title>" << xml_escape(title)
      << "</title>\n";
  if (paper) out << "<rect width=\"" << w << "\" height=\"" << h << "\" fill=\"#ffffff\"/>\n";
  const auto box = [](const Rect& r) {
    return attribute("x", r.x) + attribute("y", r.y) + attribute("width", r.width) +
           attribute("height", r.height);
  };
  for (const Shape& shape : shapes_) {
    std::visit(
        Overloaded{[&](const RectShape& s) {
                     out << element("rect", box(s.rect) + paint_attributes(s.paint), s.tooltip);
                   },
                   [&](const PathShape& s) {
                     out << element(s.closed ? "polygon" : "polyline",
                                    attribute("points", points_text(s.points)) + paint_attributes(s.paint),
                                    s.tooltip);
                   },
                   [&](const CircleShape& s) {
                     out << element("circle",
                                    attribute("cx", s.x) + attribute("cy", s.y) + attribute("r", s.radius) +
                                        paint_attributes(s.paint),
                                    s.tooltip);
                   },
                   [&](const TextShape& s) {
                     const char* anchors[] = {"start", "middle", "end"};
                     out << "<text" << attribute("x", s.x) << attribute("y", s.y)
                         << attribute("font-size", s.style.size)
                         << attribute("text-anchor", anchors[static_cast<int>(s.style.anchor)])
                         << attribute("fill", hex(s.style.colour));
                     if (!s.style.role.empty()) out << attribute("class", s.style.role);
                     if (s.style.bold) out << attribute("font-weight", "bold");
                     if (s.style.rotation != 0) {
                       out << attribute("transform", concat("rotate(", number_text(s.style.rotation), " ",
                                                            number_text(s.x), " ", number_text(s.y), ")"));
                     }
                     out << ">" << xml_escape(s.text) << "</text>\n";
                   },
                   [&](const ImageShape& s) {
                     out << "<image" << box(s.rect) << attribute("preserveAspectRatio", "none")
                         << attribute("href", data_uri(s.picture)) << "/>\n";
                   }},
        shape);
  }
  out << "</svg>\n";
  return out.str();
}

Image Drawing::raster(double scale) const {
  Image image(static_cast<int>(std::ceil(height_ * scale)), static_cast<int>(std::ceil(width_ * scale)), 3,
              255);
  const auto scaled = [scale](Points points) {
    for (auto& [x, y] : points) x *= scale, y *= scale;
    return points;
  };
  for (const Shape& shape : shapes_) {
    std::visit(Overloaded{[&](const RectShape& s) {
                            const Rect& r = s.rect;
                            if (s.paint.fill) {
                              fill_rect(image, scale * r.x, scale * r.y, scale * r.width, scale * r.height,
                                        *s.paint.fill, s.paint.opacity);
                            }
                            if (s.paint.stroke) {
                              raster_polyline(image,
                                              {{r.x, r.y},
                                               {r.x + r.width, r.y},
                                               {r.x + r.width, r.y + r.height},
                                               {r.x, r.y + r.height},
                                               {r.x, r.y}},
                                              s.paint, scale);
                            }
                          },
                          [&](const PathShape& s) {
                            if (s.paint.fill && s.closed)
                              fill_polygon(image, scaled(s.points), *s.paint.fill, s.paint.opacity);
                            if (!s.paint.stroke) return;
                            Points points = s.points;
                            if (s.closed) points.push_back(points.front());
                            raster_polyline(image, points, s.paint, scale);
                          },
                          [&](const CircleShape& s) {
                            const double rim = s.paint.stroke ? s.paint.stroke_width / 2 : 0;
                            if (s.paint.stroke) {
                              draw_disc(image, scale * s.x, scale * s.y, scale * (s.radius + rim),
                                        *s.paint.stroke, s.paint.opacity);
                            }
                            if (s.paint.fill) {
                              draw_disc(image, scale * s.x, scale * s.y, scale * (s.radius - rim),
                                        *s.paint.fill, s.paint.opacity);
                            }
                          },
                          [&](const TextShape& s) {
                            const double width = font_width(s.text, s.style.size);
                            const double back = s.style.anchor == Anchor::start    ? 0
                                                : s.style.anchor == Anchor::middle ? width / 2
                                                                                   : width;
                            const double angle = s.style.rotation * 3.14159265358979323846 / 180;
                            draw_text(image, scale * (s.x - back * std::cos(angle)),
                                      scale * (s.y - back * std::sin(angle)), s.text, scale * s.style.size,
                                      s.style.colour, s.style.rotation, s.style.bold);
                          },
                          [&](const ImageShape& s) { raster_image(image, s.rect, s.picture, scale); }},
               shape);
  }
  return image;
}

namespace {

/// Bytes of the UTF-8 character at `i`; 0 if it is invalid (a page with it would not be well-formed).
std::size_t utf8_length(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char first = byte(i);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xc2 && first < 0xe0 ? 2
                             : (first & 0xf0) == 0xe0        ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  if (length == 0 || i + length > text.size()) return 0;
  for (std::size_t k = 1; k < length; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  }
  return length;
}

}  // namespace

std::string xml_escape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const std::size_t length = utf8_length(text, i);
    if (length != 1) {
      out += length == 0 ? "?" : text.substr(i, length);
      i += length == 0 ? 0 : length - 1;
      continue;
    }
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 32 ? ' ' : c;
    }
  }
  return out;
}

std::string number_text(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3f", value);
  std::string out = text;
  while (out.back() == '0') out.pop_back();
  if (out.back() == '.') out.pop_back();
  return out == "-0" ? "0" : out;
}

double text_width(const std::string& text, double size, bool bold) {
  double em = 0;
  std::size_t characters = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) == 0x80) continue;
    ++characters;
    if (std::strchr("mMW@%&", c)) {
      em += 0.95;
    } else if (c >= 'A' && c <= 'Z') {
      em += 0.75;
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      em += 1.0;
    } else {
      em += std::strchr("iljI.,:;|!' ", c) ? 0.35 : 0.6;
    }
  }
  // The raster font has letters of equal width.
  return size * std::max(0.6 * static_cast<double>(characters), em * (bold ? 1.08 : 1.0));
}

std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t bits = static_cast<std::uint32_t>(bytes[i]) << 16;
    if (count > 1) bits |= static_cast<std::uint32_t>(bytes[i + 1]) << 8;
    if (count > 2) bits |= bytes[i + 2];
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= count ? alphabet[(bits >> (18 - 6 * k)) & 63] : '=';
    }
  }
  return out;
}

std::string data_uri(const Image& picture) {
  return "data:image/png;base64," + base64(encode_png(picture));
}

void write_drawing(const std::filesystem::path& path, const Drawing& drawing, const std::string& title,
                   double scale) {
  if (path.extension() == ".svg") {
    write_file_atomically(path, drawing.svg(title));
    return;
  }
  const std::string extension = path.extension().string();
  require<ConfigError>(extension == ".png" || extension == ".jpg" || extension == ".jpeg", "cannot write '",
                       path.string(), "': figures are written as .svg, .png, .jpg or .jpeg");
  write_image(path, drawing.raster(scale));
}

}  // namespace fer
