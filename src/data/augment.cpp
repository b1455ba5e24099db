#include "fer/data/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "fer/error.h"
#include "fer/tensor/random.h"

namespace fer {
namespace {

/// A warp as a 2 x 3 matrix, to be composed with others.
struct Affine {
  double m[6] = {1, 0, 0, 0, 1, 0};
  Affine then(const Affine& next) const {
    const double* a = next.m;
    Affine r;
    for (int row = 0; row < 2; ++row) {
      for (int col = 0; col < 3; ++col) {
        r.m[row * 3 + col] =
            a[row * 3] * m[col] + a[row * 3 + 1] * m[3 + col] + (col == 2 ? a[row * 3 + 2] : 0);
      }
    }
    return r;
  }
};

Affine draw_warp(const AugmentOptions& o, Random& random, bool& warps) {
  Affine warp;
  if (o.crop_min < 1) {
    // The output is a rectangle of the input, as in torchvision's RandomResizedCrop, but always within it.
    const double area = random.uniform(o.crop_min, 1);
    const double aspect = std::exp(random.uniform(std::log(3.0 / 4), std::log(4.0 / 3)));
    const double width = std::min(1.0, std::sqrt(area * aspect)),
                 height = std::min(1.0, std::sqrt(area / aspect));
    warp = warp.then({{width, 0, random.uniform(0, 1 - width), 0, height, random.uniform(0, 1 - height)}});
    warps = true;
  }
  if (o.rotation > 0 || o.scale > 0 || o.shift > 0) {
    const double angle = random.uniform(-o.rotation, o.rotation) * std::numbers::pi / 180;
    const double zoom = 1 / random.uniform(1 - o.scale, 1 + o.scale);
    const double c = std::cos(angle) * zoom, s = std::sin(angle) * zoom;
    const double x = 0.5 + random.uniform(-o.shift, o.shift), y = 0.5 + random.uniform(-o.shift, o.shift);
    warp = warp.then({{c, -s, x - 0.5 * c + 0.5 * s, s, c, y - 0.5 * s - 0.5 * c}});
    warps = true;
  }
  return warp;
}

ImageTransform draw_transform(const AugmentOptions& o, Random& random, int size) {
  ImageTransform t;
  t.flip = random.uniform() < o.flip ? 1 : 0;
  if (random.uniform() >= o.erase) return t;
  // As in torchvision's RandomErasing: up to ten tries for a rectangle that fits.
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = random.uniform(o.erase_area_min, o.erase_area_max) * size * size;
    const double aspect =
        std::exp(random.uniform(std::log(o.erase_aspect_min), std::log(o.erase_aspect_max)));
    const int height = static_cast<int>(std::lround(std::sqrt(area * aspect)));
    const int width = static_cast<int>(std::lround(std::sqrt(area / aspect)));
    if (height < 1 || width < 1 || height >= size || width >= size) continue;
    t.erase_height = height;
    t.erase_width = width;
    t.erase_top = static_cast<int>(random.below(static_cast<std::uint64_t>(size - height) + 1));
    t.erase_left = static_cast<int>(random.below(static_cast<std::uint64_t>(size - width) + 1));
    break;
  }
  return t;
}

}  // namespace

AugmentOptions AugmentOptions::none() {
  AugmentOptions o;
  o.flip = o.erase = 0;
  return o;
}

void AugmentOptions::check() const {
  const auto in = [](const char* name, double value, double low, double high) {
    require<ConfigError>(value >= low && value <= high, "augmentation: '", name, "' must be between ", low,
                         " and ", high, ", got ", value);
  };
  in("flip", flip, 0, 1);
  in("erase", erase, 0, 1);
  in("erase_area_max", erase_area_max, 0, 1);
  in("erase_area_min", erase_area_min, 0, erase_area_max);
  in("erase_aspect_max", erase_aspect_max, 0.01, 100);
  in("erase_aspect_min", erase_aspect_min, 0.01, erase_aspect_max);
  in("rotation", rotation, 0, 180);
  in("scale", scale, 0, 0.9);
  in("shift", shift, 0, 1);
  in("crop_min", crop_min, 0.05, 1);
  in("brightness", brightness, 0, 1);
  in("contrast", contrast, 0, 1);
}

Augmentation draw_augmentation(const AugmentOptions& options, std::uint64_t seed, std::int64_t epoch,
                               std::int64_t sample, int size) {
  // Epoch and sample share the index: 2^40 samples, 2^24 epochs.
  Random random({seed, fnv1a64("augment"),
                 static_cast<std::uint64_t>(epoch) << 40 | static_cast<std::uint64_t>(sample)});
  Augmentation a;
  const Affine warp = draw_warp(options, random, a.warps);
  std::copy(std::begin(warp.m), std::end(warp.m), std::begin(a.warp));
  if (options.brightness > 0) {
    a.brightness = static_cast<float>(random.uniform(1 - options.brightness, 1 + options.brightness));
  }
  if (options.contrast > 0) {
    a.contrast = static_cast<float>(random.uniform(1 - options.contrast, 1 + options.contrast));
  }
  a.transform = draw_transform(options, random, size);
  return a;
}

Image apply(const Augmentation& a, const Image& image) {
  Image result = image;
  const int h = image.height, w = image.width, channels = image.channels;
  if (a.warps) {
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        const float u = (static_cast<float>(x) + 0.5f) / static_cast<float>(w),
                    v = (static_cast<float>(y) + 0.5f) / static_cast<float>(h);
        const float sx =
            std::clamp((a.warp[0] * u + a.warp[1] * v + a.warp[2]) * static_cast<float>(w) - 0.5f, 0.0f,
                       static_cast<float>(w - 1));
        const float sy =
            std::clamp((a.warp[3] * u + a.warp[4] * v + a.warp[5]) * static_cast<float>(h) - 0.5f, 0.0f,
                       static_cast<float>(h - 1));
        const int x0 = static_cast<int>(sx), y0 = static_cast<int>(sy);
        const int x1 = std::min(x0 + 1, w - 1), y1 = std::min(y0 + 1, h - 1);
        const float fx = sx - static_cast<float>(x0), fy = sy - static_cast<float>(y0);
        for (int c = 0; c < channels; ++c) {
          const float top = (1 - fx) * static_cast<float>(image.at(y0, x0, c)) +
                            fx * static_cast<float>(image.at(y0, x1, c));
          const float bottom = (1 - fx) * static_cast<float>(image.at(y1, x0, c)) +
                               fx * static_cast<float>(image.at(y1, x1, c));
          result.at(y, x, c) = static_cast<std::uint8_t>(std::lround((1 - fy) * top + fy * bottom));
        }
      }
    }
  }
  if (a.brightness != 1 || a.contrast != 1) {
    double sum = 0;
    for (std::uint8_t pixel : result.pixels) sum += pixel;
    const float mean =
        static_cast<float>(sum / static_cast<double>(std::max<std::size_t>(1, result.pixels.size())));
    for (std::uint8_t& pixel : result.pixels) {
      const float value = ((static_cast<float>(pixel) - mean) * a.contrast + mean) * a.brightness;
      pixel = static_cast<std::uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
    }
  }
  return result;
}

Landmarks apply(const Augmentation& a, const Landmarks& landmarks) {
  Landmarks result = landmarks;
  if (a.warps) {
    // The warp maps output to input; points need the inverse.
    const float* m = a.warp;
    const float det = m[0] * m[4] - m[1] * m[3];
    for (Point2& p : result) {
      const float x = p.x - m[2], y = p.y - m[5];
      p = {(m[4] * x - m[1] * y) / det, (m[0] * y - m[3] * x) / det};
    }
  }
  return a.transform.flip ? flip_landmarks(result) : result;
}

}  // namespace fer
