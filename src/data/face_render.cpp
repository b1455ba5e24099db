// One face from its parameters: the order of the layers, and the camera that turns light into a picture.
#include "data/face_render.h"

#include <cmath>

#include "fer/error.h"
#include "fer/tensor/random.h"

namespace fer::detail {
namespace {

constexpr int tone_steps = 4096;

/// sRGB of linear values 0 to 1.
const std::array<std::uint8_t, tone_steps>& tone_table() {
  static const auto table = [] {
    std::array<std::uint8_t, tone_steps> bytes{};
    for (int i = 0; i < tone_steps; ++i) {
      const double v = (i + 0.5) / tone_steps;
      const double s = v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1 / 2.4) - 0.055;
      bytes[i] = static_cast<std::uint8_t>(std::clamp(s * 255 + 0.5, 0.0, 255.0));
    }
    return bytes;
  }();
  return table;
}

/// A three-tap blur of both directions; `amount` 0 (none) to 1.
void blur(Canvas& canvas, float amount) {
  const int n = canvas.size();
  const float side = 0.33f * amount, middle = 1 - 2 * side;
  std::vector<float> before(n), line(n);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < n; ++y) {
      float* row = canvas.row(c, y);
      std::copy(row, row + n, line.begin());
      for (int x = 0; x < n; ++x) {
        row[x] = middle * line[x] + side * (line[std::max(x - 1, 0)] + line[std::min(x + 1, n - 1)]);
      }
    }
    std::copy(canvas.row(c, 0), canvas.row(c, 0) + n, before.begin());
    for (int y = 0; y < n; ++y) {
      float* row = canvas.row(c, y);
      const float* after = canvas.row(c, std::min(y + 1, n - 1));
      for (int x = 0; x < n; ++x) {
        const float here = row[x];
        row[x] = middle * here + side * (before[x] + after[x]);
        before[x] = here;
      }
    }
  }
}

}  // namespace

FaceRenderer::FaceRenderer(const FaceParameters& parameters, int size)
    : p_(parameters),
      size_(size),
      steps_(size <= 160 ? 4 : 10),
      phase_(static_cast<float>(parameters.texture_seed % 4093) * 0.37f),
      geometry_(parameters, size),
      hair_(parameters.identity, phase_),
      scene_(size),
      albedo_(size),
      shade_(size),
      gloss_(size) {
  const FaceLighting& l = p_.lighting;
  const float ce = std::cos(l.elevation);
  light_ = {std::sin(l.azimuth) * ce, -std::sin(l.elevation), std::cos(l.azimuth) * ce};
  half_ = normalized(light_ + Vec3{0, 0, 1});
  key_ = l.colour * l.strength;
  ambient_ = mix(Rgb{1, 1, 1}, p_.background.top + p_.background.bottom, 0.15f) * l.ambient;
}

Face FaceRenderer::draw() {
  Face face;
  face.landmarks = geometry_.landmarks();
  head_ = rasterize_head(geometry_, hair_, size_);
  draw_background();
  draw_back_hair();
  draw_neck();
  draw_ears();
  shade_head();
  paint_skin();
  paint_wrinkles();
  paint_nose();
  paint_eye(-1);
  paint_eye(1);
  paint_mouth();
  paint_beard();
  paint_brows();
  composite_head();
  draw_eye_lights();
  draw_front_hair();
  draw_glasses();
  draw_occlusion();
  face.image = expose();
  return face;
}

Image FaceRenderer::expose() {
  const FaceLighting& l = p_.lighting;
  if (l.blur > 0) blur(scene_, clamp01(l.blur));
  const auto& tone = tone_table();
  const RandomKey key{p_.texture_seed, fnv1a64("faces.noise"), 0};
  Image image(size_, size_, 3);
  std::uint64_t block = 0;
  PhiloxBlock bits{};
  int left = 0;
  const auto noise = [&] {  // two bytes: triangular, -1 to 1
    if (left == 0) {
      bits = philox(key, block++);
      left = 8;
    }
    --left;
    const std::uint32_t word = bits.v[left >> 1] >> (16 * (left & 1));
    return (static_cast<float>(word & 255) + static_cast<float>(word >> 8 & 255) - 255) * (1.0f / 255);
  };
  constexpr float middle_grey = 0.22f;
  for (int y = 0; y < size_; ++y) {
    std::uint8_t* out = image.row(y);
    const float* planes[3] = {scene_.row(0, y), scene_.row(1, y), scene_.row(2, y)};
    for (int x = 0; x < size_; ++x) {
      float c[3];
      for (int k = 0; k < 3; ++k) {
        const float v = planes[k][x] * l.exposure;
        c[k] = v < 0.7f ? v : 1 - 0.09f / (v - 0.4f);  // a film's shoulder instead of a cut
        c[k] = middle_grey + (c[k] - middle_grey) * l.contrast;
      }
      const float grey = 0.2126f * c[0] + 0.7152f * c[1] + 0.0722f * c[2];
      for (int k = 0; k < 3; ++k) {
        float v = grey + (c[k] - grey) * l.saturation;
        if (l.noise > 0) v += l.noise * noise() * (0.25f + std::sqrt(std::max(v, 0.0f)));
        out[3 * x + k] = tone[static_cast<int>(clamp01(v) * (tone_steps - 1))];
      }
    }
  }
  return image;
}

}  // namespace fer::detail

namespace fer {

Face draw_face(const FaceParameters& parameters, int size) {
  require<ConfigError>(size >= 16 && size <= 2048, "a face is drawn 16 to 2048 pixels wide, got ", size);
  return detail::FaceRenderer(parameters, size).draw();
}

}  // namespace fer
