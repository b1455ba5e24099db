// Painting on pictures: discs, lines, small text in fer's own font, heat maps over faces, landmarks.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fer/data/faces.h"
#include "fer/data/image.h"
#include "fer/report/colour.h"

namespace fer {

// Coordinates are in pixels; (0, 0) is the top left corner of the top left pixel. Pictures must be RGB
// (ShapeError otherwise). Shapes are clipped to the picture.

void fill_rect(Image& image, double x, double y, double width, double height, Colour colour,
               double opacity = 1);
void draw_disc(Image& image, double x, double y, double radius, Colour colour, double opacity = 1);
void draw_line(Image& image, double x0, double y0, double x1, double y1, double thickness, Colour colour,
               double opacity = 1);
/// A filled polygon, by the even-odd rule.
void fill_polygon(Image& image, const std::vector<std::pair<double, double>>& points, Colour colour,
                  double opacity = 1);

/// Draws text in the 5 x 7 font; capital letters are 0.7 * `size` high. (x, y) is the start of the baseline;
/// `rotation` is clockwise about it, in degrees. Characters outside ASCII appear as a box.
void draw_text(Image& image, double x, double y, const std::string& text, double size, Colour colour,
               double rotation = 0, bool bold = false);
/// Width of draw_text() in pixels.
double font_width(const std::string& text, double size);

/// h x w numbers, row-major.
struct HeatMap {
  int height = 0, width = 0;
  std::vector<float> values;
};
/// Scales the map to [0, 1], minimum to 0 and maximum to 1; a constant map becomes 0.
HeatMap normalised(HeatMap map);
/// Clamps `map` to [0, 1], enlarges it bilinearly to the picture's size, and blends it over the picture in
/// heat colours. The result is RGB; `image` may be grey. ShapeError unless the map has height * width values.
Image overlay_heat(const Image& image, const HeatMap& map, double opacity = 0.55);
/// Draws 68 dots with dark rims, so that they are visible on any skin.
void draw_landmarks(Image& image, const Landmarks& landmarks, double radius, Colour colour = {255, 255, 255});

}  // namespace fer
