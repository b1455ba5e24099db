// Draws one face from its parameters: the order of the layers, and the camera that turns light into a
// picture.
#include "data/faces/face_render.h"

#include <cmath>
#include <cstring>
#include <memory>

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

/// A three-tap blur in both directions; `amount` 0 (none) to 1.
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

FaceRenderer::FaceRenderer(const FaceParameters& parameters, FaceWorkspace& workspace)
    : p_(parameters),
      size_(workspace.scene.size()),
      steps_(size_ <= 160 ? 4 : 10),
      phase_(static_cast<float>(parameters.texture_seed % 4093) * 0.37f),
      geometry_(parameters, size_),
      hair_(parameters.identity, phase_),
      scene_(workspace.scene),
      albedo_(workspace.albedo),
      shade_(workspace.shade),
      gloss_(workspace.gloss),
      head_(workspace.head),
      workspace_(workspace) {
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
  // Outside the head these planes have no effect, but their values must stay in range.
  for (Canvas* canvas : {&albedo_, &shade_, &gloss_}) canvas->clear();
  rasterize_head(geometry_, hair_, workspace_);
  draw_background();
  draw_back_hair();
  draw_neck();
  draw_ears(false);
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
  draw_ears(true);
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
  const RandomKey key{p_.texture_seed, fnv1a64("faces.sensor"), 0};
  Image image(size_, size_, 3);
  constexpr float middle_grey = 0.22f;
  std::vector<std::uint8_t> bytes((static_cast<std::size_t>(size_) * 3 + 1 + 15) / 16 * 16);
  std::vector<float> line(static_cast<std::size_t>(size_) * 4);
  std::uint64_t block = 0;
  for (int y = 0; y < size_; ++y) {
    float* grey = &line[static_cast<std::size_t>(3) * size_];
    std::fill_n(grey, size_, 0.0f);
    static constexpr float luma[3] = {0.2126f, 0.7152f, 0.0722f};
    for (int k = 0; k < 3; ++k) {
      const float* from = scene_.row(k, y);
      float* to = &line[static_cast<std::size_t>(k) * size_];
      for (int x = 0; x < size_; ++x) {
        const float v = from[x] * l.exposure;
        const float shoulder = 1 - 0.09f / (std::max(v, 0.7f) - 0.4f);  // soft as film, no clipping
        to[x] = middle_grey + ((v < 0.7f ? v : shoulder) - middle_grey) * l.contrast;
        grey[x] += luma[k] * to[x];
      }
    }
    for (std::size_t i = 0; i < bytes.size(); i += 16) {
      const PhiloxBlock bits = philox(key, block++);
      std::memcpy(&bytes[i], bits.v, 16);
    }
    std::uint8_t* out = image.row(y);
    for (int x = 0; x < size_; ++x) {
      // two bytes added give triangular noise; sensor noise grows with the light
      const float deviation = l.noise * (0.25f + std::sqrt(std::max(grey[x], 0.0f))) * (1.0f / 255);
      for (int k = 0; k < 3; ++k) {
        const int i = 3 * x + k;
        const float noise = static_cast<float>(bytes[i] + bytes[i + 1] - 255) * deviation;
        const float v =
            grey[x] + (line[static_cast<std::size_t>(k) * size_ + x] - grey[x]) * l.saturation + noise;
        out[i] = tone[static_cast<int>(clamp01(v) * (tone_steps - 1))];
      }
    }
  }
  return image;
}

}  // namespace fer::detail

namespace fer {

Face draw_face(const FaceParameters& parameters, int size) {
  require<ConfigError>(size >= 16 && size <= 2048, "a face is drawn 16 to 2048 pixels wide, got ", size);
  constexpr int largest_kept = 256;
  thread_local std::unique_ptr<detail::FaceWorkspace> workspace;
  if (!workspace || workspace->scene.size() != size)
    workspace = std::make_unique<detail::FaceWorkspace>(size);
  Face face = detail::FaceRenderer(parameters, *workspace).draw();
  if (size > largest_kept) workspace.reset();
  return face;
}

}  // namespace fer
