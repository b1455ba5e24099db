#include "fer/report/face_overlay.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "fer/report/picture.h"

namespace fer {
namespace {

constexpr int legible = 320;  // minimum longer side of an overlay, pixels

struct Area {
  double x, y, width, height;

  bool meets(const Area& other) const {
    return x < other.x + other.width && other.x < x + width && y < other.y + other.height &&
           other.y < y + height;
  }
};

/// Sizes derived from the picture's size.
struct Style {
  double line, text, padding, dot;

  static Style of(const Image& image) {
    const double longer = std::max(image.width, image.height);
    const double text = std::clamp(longer / 40, 13.0, 80.0);
    return {std::max(2.0, text / 7), text, text / 3, std::max(0.8, text / 14)};
  }
};

void draw_frame(Image& image, const Area& a, double line, Colour colour) {
  fill_rect(image, a.x, a.y, a.width, line, colour);
  fill_rect(image, a.x, a.y + a.height - line, a.width, line, colour);
  fill_rect(image, a.x, a.y, line, a.height, colour);
  fill_rect(image, a.x + a.width - line, a.y, line, a.height, colour);
}

/// Where a face's label goes: the first place inside the picture that covers no other label or face, or else
/// the top of its own face.
Area place_label(const Image& image, const std::vector<Area>& faces, std::size_t own,
                 const std::vector<Area>& labels, double width, double height) {
  const Area& face = faces[own];
  const double x = std::clamp(face.x, 0.0, std::max(0.0, image.width - width));
  const std::array<Area, 4> places{
      Area{x, face.y - height, width, height}, Area{x, face.y + face.height, width, height},
      Area{x, face.y, width, height}, Area{x, face.y + face.height - height, width, height}};
  for (const Area& place : places) {
    bool free = place.y >= 0 && place.y + height <= image.height;
    for (const Area& label : labels) free = free && !place.meets(label);
    for (std::size_t i = 0; i < faces.size(); ++i) free = free && (i == own || !place.meets(faces[i]));
    if (free) return place;
  }
  return places[2];
}

}  // namespace

Image overlay_faces(const Image& image, const std::vector<FaceReading>& faces,
                    const std::vector<std::string>& class_names) {
  const int zoom =
      std::max(1, (legible + std::max(image.width, image.height) - 1) / std::max(image.width, image.height));
  Image out = to_rgb(zoom == 1 ? image : resize(image, image.height * zoom, image.width * zoom));
  const Style style = Style::of(out);
  std::vector<Area> areas, labels;
  for (const FaceReading& face : faces) {
    areas.push_back({1.0 * zoom * face.box.x, 1.0 * zoom * face.box.y, 1.0 * zoom * face.box.width,
                     1.0 * zoom * face.box.height});
  }
  for (std::size_t i = 0; i < faces.size(); ++i) {
    const Colour colour = palette(static_cast<std::size_t>(faces[i].prediction.predicted));
    draw_frame(out, areas[i], style.line, colour);
    // keeps the dots apart on a small face
    const double dot = std::min(style.dot, areas[i].width / 110);
    if (faces[i].landmarks && dot >= 0.4) draw_landmarks(out, *faces[i].landmarks, dot);
  }
  for (std::size_t i = 0; i < faces.size(); ++i) {
    const auto predicted = static_cast<std::size_t>(faces[i].prediction.predicted);
    const Colour colour = palette(predicted);
    const double percent = 100.0 * faces[i].prediction.probabilities.at(predicted);
    std::string text = class_names.at(predicted) + " " + std::to_string(std::lround(percent)) + " %";
    double size = style.text;
    const double room = out.width - 2 * style.padding;
    if (const double wide = font_width(text, size); wide > room) size *= room / wide;
    const double width = font_width(text, size) + 2 * style.padding, height = 0.7 * size + 2 * style.padding;
    const Area place = place_label(out, areas, i, labels, width, height);
    fill_rect(out, place.x, place.y, place.width, place.height, colour);
    draw_text(out, place.x + style.padding, place.y + height - style.padding, text, size, ink_on(colour), 0,
              true);
    labels.push_back(place);
  }
  return out;
}

}  // namespace fer
