// Colours that people with any colour vision can tell apart: a palette for lines and classes, and a scale for
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

/// Eight colours for classes and lines (Okabe and Ito, 2008), darker ones first; beyond eight they repeat.
Colour palette(std::size_t i);

/// OKLab (Ottosson, 2020): L is lightness, 0 to 1; Euclidean distances are close to perceived ones.
std::array<double, 3> to_oklab(Colour colour);

/// A sequential scale over t in [0, 1] (clamped; NaN counts as 0), from dark violet through blue and green to
/// light yellow. Lightness in OKLab rises linearly, so any colour vision and a grey print show the order and
/// size of differences.
Colour heat_colour(double t);

/// A sequential scale of one hue over t in [0, 1] (clamped; NaN counts as 0), from nearly white to dark blue.
/// For tables whose cells contain numbers and mostly small values.
Colour share_colour(double t);

/// Black or white, whichever reads better on `background`.
Colour ink_on(Colour background);

}  // namespace fer
