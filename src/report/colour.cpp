#include "fer/report/colour.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>

namespace fer {
namespace {

// The colours of Okabe and Ito; those with the most contrast to white paper come first.
constexpr Colour okabe_ito[] = {{0, 114, 178}, {213, 94, 0},   {0, 158, 115}, {204, 121, 167},
                                {230, 159, 0}, {86, 180, 233}, {90, 90, 90},  {240, 228, 66}};

double to_linear(double srgb) {
  return srgb <= 0.04045 ? srgb / 12.92 : std::pow((srgb + 0.055) / 1.055, 2.4);
}

double to_srgb(double linear) {
  return linear <= 0.0031308 ? 12.92 * linear : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
}

/// Linear RGB of an OKLab colour; outside [0, 1] if sRGB lacks the colour.
std::array<double, 3> oklab_to_linear(double lightness, double a, double b) {
  const double l = std::pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
  const double m = std::pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
  const double s = std::pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
  return {4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
          -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
          -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s};
}

bool in_gamut(const std::array<double, 3>& rgb) {
  return std::all_of(rgb.begin(), rgb.end(), [](double v) { return v >= -1e-9 && v <= 1 + 1e-9; });
}

/// The colour of this lightness and hue with the given chroma, or the largest chroma that sRGB has.
Colour from_lch(double lightness, double chroma, double hue) {
  const auto rgb_at = [&](double c) {
    return oklab_to_linear(lightness, c * std::cos(hue), c * std::sin(hue));
  };
  if (!in_gamut(rgb_at(chroma))) {
    double low = 0, high = chroma;
    for (int i = 0; i < 30; ++i) (in_gamut(rgb_at((low + high) / 2)) ? low : high) = (low + high) / 2;
    chroma = low;
  }
  const std::array<double, 3> rgb = rgb_at(chroma);
  const auto byte = [](double v) {
    return static_cast<std::uint8_t>(std::lround(255 * to_srgb(std::clamp(v, 0.0, 1.0))));
  };
  return {byte(rgb[0]), byte(rgb[1]), byte(rgb[2])};
}

std::array<Colour, 256> make_scale() {
  std::array<Colour, 256> scale;
  for (std::size_t i = 0; i < scale.size(); ++i) {
    const double t = static_cast<double>(i) / 255;
    const double degrees = 310 - 205 * t;  // violet, blue, green, yellow
    scale[i] = from_lch(0.22 + 0.72 * t, 0.11 + 0.06 * t, degrees * std::numbers::pi / 180);
  }
  return scale;
}

}  // namespace

std::string hex(Colour colour) {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", colour.r, colour.g, colour.b);
  return text;
}

Colour palette(std::size_t i) {
  return okabe_ito[i % std::size(okabe_ito)];
}

std::array<double, 3> to_oklab(Colour colour) {
  const double r = to_linear(colour.r / 255.0), g = to_linear(colour.g / 255.0),
               b = to_linear(colour.b / 255.0);
  const double l = std::cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const double m = std::cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const double s = std::cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return {0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
          1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
          0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s};
}

Colour heat_colour(double t) {
  static const std::array<Colour, 256> scale = make_scale();
  const double clamped = t > 0 ? std::min(t, 1.0) : 0.0;  // NaN compares false
  return scale[static_cast<std::size_t>(std::lround(255 * clamped))];
}

Colour share_colour(double t) {
  const double clamped = t > 0 ? std::min(t, 1.0) : 0.0;
  return from_lch(0.965 - 0.625 * clamped, 0.012 + 0.115 * clamped, 255 * std::numbers::pi / 180);
}

Colour ink_on(Colour background) {
  return to_oklab(background)[0] > 0.65 ? Colour{0, 0, 0} : Colour{255, 255, 255};
}

}  // namespace fer
