// Colours that people with any colour vision tell apart: a palette for lines and classes, and a scale for
// heat maps whose lightness rises evenly.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

namespace fer {

struct Colour {
  std::uint8_t r = 0, g = 0, b = 0;
  bool operator==(const Colour&) const = default;
};

/// "#rrggbb"
std::string hex(Colour colour);

/// Eight colours for classes and lines (Okabe and Ito, 2008), the darker ones first; taken in turn.
Colour palette(std::size_t i);

/// OKLab (Ottosson, 2020): L is lightness, 0 to 1; Euclidean distances are close to perceived ones.
std::array<double, 3> to_oklab(Colour colour);

/// A sequential scale over t in [0, 1] (clamped; NaN counts as 0), dark violet to light yellow by way of
/// blue and green. Lightness in OKLab rises linearly, so order and size of differences survive any colour
/// vision and a grey print.
Colour heat_colour(double t);

/// A sequential scale of one hue over t in [0, 1] (clamped; NaN counts as 0), nearly white to dark blue: for
/// cells with numbers in them, most of which are small.
Colour share_colour(double t);

/// Black or white, whichever reads better on `background`.
Colour ink_on(Colour background);

}  // namespace fer
