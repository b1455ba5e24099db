// Augmentation: random values stay in their ranges and depend only on (seed, epoch, sample); landmarks move
// with the picture.
#include "fer/data/augment.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/data/helpers.h"

namespace fer::test {
namespace {

/// A dark grey picture with a bright round spot at (x, y), fractions of the side.
Image spot_at(Point2 at, int size) {
  Image image(size, size, 1, 20);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      const float dx = static_cast<float>(x) + 0.5f - at.x * static_cast<float>(size),
                  dy = static_cast<float>(y) + 0.5f - at.y * static_cast<float>(size);
      image.at(y, x) = static_cast<std::uint8_t>(20 + 200 * std::exp(-(dx * dx + dy * dy) / 18));
    }
  }
  return image;
}

/// The centre of the bright spot, in fractions of the side.
Point2 find_spot(const Image& image) {
  double sum = 0, x_sum = 0, y_sum = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const double weight = std::max(0, image.at(y, x) - 60);
      sum += weight;
      x_sum += weight * (x + 0.5);
      y_sum += weight * (y + 0.5);
    }
  }
  REQUIRE(sum > 0);
  return {static_cast<float>(x_sum / sum / image.width), static_cast<float>(y_sum / sum / image.height)};
}

/// All 68 landmarks at one point, so that renaming by mirroring does not matter.
Landmarks all_at(Point2 at) {
  Landmarks landmarks;
  landmarks.fill(at);
  return landmarks;
}

/// The picture after the part of the transform that the backend does: here the flip.
Image flipped_by_backend(const Image& image, const ImageTransform& transform) {
  const Tensor pixels = Tensor::from<std::uint8_t>({1, image.height, image.width, 1}, image.pixels);
  Tensor y = Tensor::empty({1, image.height, image.width, 3});
  const float mean[3] = {0, 0, 0}, deviation[3] = {1, 1, 1};
  const std::vector<ImageTransform> transforms{transform};
  backend(Device::cpu).preprocess_images(pixels, transforms, mean, deviation, y);
  const std::vector<float> values = y.to_vector<float>();
  Image result(image.height, image.width, 1);
  for (std::size_t i = 0; i < result.pixels.size(); ++i)
    result.pixels[i] = static_cast<std::uint8_t>(std::lround(255 * values[3 * i]));
  return result;
}

/// Warps and flips `count` times, and checks that the spot is where the landmark went.
void check_spot_follows(const AugmentOptions& options, int count) {
  constexpr int size = 96;
  int compared = 0;
  for (int sample = 0; sample < count; ++sample) {
    const Augmentation a = draw_augmentation(options, 5, 0, sample, size);
    const Point2 start{0.35f, 0.55f};
    const Point2 wanted = fer::apply(a, all_at(start))[30];
    const float margin = 0.12f;  // where the whole spot is in the picture
    if (std::min(wanted.x, wanted.y) < margin || std::max(wanted.x, wanted.y) > 1 - margin) continue;
    const Point2 found = find_spot(flipped_by_backend(fer::apply(a, spot_at(start, size)), a.transform));
    CAPTURE(sample);
    CHECK(std::abs(found.x - wanted.x) * size < 0.5f);
    CHECK(std::abs(found.y - wanted.y) * size < 0.5f);
    ++compared;
  }
  CHECK(compared > count / 2);
}

std::string option_error(const std::function<void(AugmentOptions&)>& change) {
  AugmentOptions options;
  change(options);
  return message_of<ConfigError>([&] { options.check(); });
}

TEST_CASE("augmentation is a function of seed, epoch and sample") {
  AugmentOptions options;
  options.rotation = 10;
  options.brightness = options.contrast = 0.2;
  const auto same = [&](const Augmentation& a, const Augmentation& b) {
    return std::equal(std::begin(a.warp), std::end(a.warp), std::begin(b.warp)) &&
           a.brightness == b.brightness && a.contrast == b.contrast && a.transform.flip == b.transform.flip &&
           a.transform.erase_top == b.transform.erase_top &&
           a.transform.erase_width == b.transform.erase_width;
  };
  const Augmentation a = draw_augmentation(options, 7, 3, 11, 112);
  CHECK(same(a, draw_augmentation(options, 7, 3, 11, 112)));
  CHECK_FALSE(same(a, draw_augmentation(options, 8, 3, 11, 112)));
  CHECK_FALSE(same(a, draw_augmentation(options, 7, 4, 11, 112)));
  CHECK_FALSE(same(a, draw_augmentation(options, 7, 3, 12, 112)));
}

TEST_CASE("augmentation: with everything switched off, a picture stays as it is") {
  const AugmentOptions off = AugmentOptions::none();
  off.check();
  const Image image = spot_at({0.3f, 0.4f}, 40);
  for (int sample = 0; sample < 50; ++sample) {
    const Augmentation a = draw_augmentation(off, 1, 0, sample, 40);
    CHECK(a.transform.flip == 0);
    CHECK(a.transform.erase_height == 0);
    CHECK_FALSE(a.warps);
    CHECK(fer::apply(a, image) == image);
    CHECK(fer::apply(a, all_at({0.3f, 0.4f}))[0].x == 0.3f);
  }
}

TEST_CASE("flips and erased rectangles come as often as asked, and within their ranges") {
  AugmentOptions options;  // the paper's
  constexpr int size = 112, count = 6000;
  int flips = 0, erased = 0, tall = 0;
  double least_area = 1, most_area = 0, least_aspect = 100, most_aspect = 0;
  for (int sample = 0; sample < count; ++sample) {
    const ImageTransform t = draw_augmentation(options, 2, 1, sample, size).transform;
    flips += t.flip;
    if (t.erase_height == 0) continue;
    ++erased;
    REQUIRE(t.erase_top >= 0);
    REQUIRE(t.erase_left >= 0);
    REQUIRE(t.erase_top + t.erase_height <= size);
    REQUIRE(t.erase_left + t.erase_width <= size);
    const double area = static_cast<double>(t.erase_height) * t.erase_width / (size * size),
                 aspect = static_cast<double>(t.erase_height) / t.erase_width;
    tall += aspect > 1;
    least_area = std::min(least_area, area);
    most_area = std::max(most_area, area);
    least_aspect = std::min(least_aspect, aspect);
    most_aspect = std::max(most_aspect, aspect);
  }
  // Four deviations of a fair coin thrown 6000 times are 155.
  CHECK(std::abs(flips - count / 2) < 155);
  CHECK(std::abs(erased - count / 2) < 155);
  CHECK(std::abs(tall - erased / 2) < 140);  // the aspect is log-uniform: as many tall ones as wide ones
  // Sides are whole pixels: half a pixel of the shorter side, about 9, is 6 %.
  CHECK(least_area > 0.02 * 0.94);
  CHECK(least_area < 0.022);
  CHECK(most_area < 0.1 * 1.06);
  CHECK(most_area > 0.097);
  CHECK(least_aspect > 0.3 * 0.92);
  CHECK(least_aspect < 0.33);
  CHECK(most_aspect < 3.3 * 1.08);
  CHECK(most_aspect > 3.0);

  options.erase = 1;
  options.erase_area_min = options.erase_area_max = 0.25;
  options.erase_aspect_min = options.erase_aspect_max = 1;
  for (int sample = 0; sample < 20; ++sample) {
    const ImageTransform t = draw_augmentation(options, 2, 1, sample, size).transform;
    CHECK(t.erase_height == 56);
    CHECK(t.erase_width == 56);
  }
  options.flip = 1;
  CHECK(draw_augmentation(options, 2, 1, 0, size).transform.flip == 1);
}

TEST_CASE("a drawn point and its landmark move together: flip") {
  AugmentOptions options = AugmentOptions::none();
  options.flip = 1;
  check_spot_follows(options, 2);
  // Mirroring renames: the left corner of one eye becomes the right corner of the other.
  Landmarks landmarks = all_at({0.5f, 0.5f});
  landmarks[36] = {0.2f, 0.4f};
  const Augmentation a = draw_augmentation(options, 1, 0, 0, 32);
  CHECK(fer::apply(a, landmarks)[45].x == doctest::Approx(0.8f));
  CHECK(fer::apply(a, landmarks)[45].y == doctest::Approx(0.4f));
}

TEST_CASE("a drawn point and its landmark move together: each warp and all of them") {
  AugmentOptions rotation = AugmentOptions::none(), scale = rotation, shift = rotation, crop = rotation;
  rotation.rotation = 25;
  scale.scale = 0.3;
  shift.shift = 0.15;
  crop.crop_min = 0.5;
  AugmentOptions all = crop;
  all.rotation = 15;
  all.scale = 0.15;
  all.shift = 0.08;
  all.flip = 0.5;
  for (const AugmentOptions& options : {rotation, scale, shift, crop}) check_spot_follows(options, 24);
  check_spot_follows(all, 40);
}

TEST_CASE("a random crop stays within the picture and keeps its share of the area") {
  AugmentOptions options = AugmentOptions::none();
  options.crop_min = 0.3;
  double least = 1, most = 0;
  for (int sample = 0; sample < 2000; ++sample) {
    const Augmentation a = draw_augmentation(options, 3, 0, sample, 64);
    const float* m = a.warp;
    CHECK(m[1] == 0);
    CHECK(m[3] == 0);
    REQUIRE(m[2] >= 0);
    REQUIRE(m[5] >= 0);
    REQUIRE(m[0] + m[2] <= 1.00001f);
    REQUIRE(m[4] + m[5] <= 1.00001f);
    least = std::min(least, static_cast<double>(m[0]) * m[4]);
    most = std::max(most, static_cast<double>(m[0]) * m[4]);
  }
  CHECK(least >= 0.299);
  CHECK(least < 0.32);
  CHECK(most > 0.93);
}

TEST_CASE("brightness scales, contrast spreads around the mean, and both stay in their ranges") {
  AugmentOptions options = AugmentOptions::none();
  options.brightness = 0.3;
  Image grey(8, 8, 3, 100);
  for (int sample = 0; sample < 100; ++sample) {
    const Augmentation a = draw_augmentation(options, 1, 0, sample, 8);
    REQUIRE(a.brightness >= 0.7f);
    REQUIRE(a.brightness <= 1.3f);
    CHECK(fer::apply(a, grey).at(3, 3, 1) == std::lround(100 * a.brightness));
  }
  options.brightness = 0;
  options.contrast = 0.5;
  Image halves(8, 8, 1, 60);
  for (int y = 0; y < 8; ++y) {
    for (int x = 4; x < 8; ++x) halves.at(y, x) = 140;
  }
  for (int sample = 0; sample < 100; ++sample) {
    const Augmentation a = draw_augmentation(options, 1, 0, sample, 8);
    const Image out = fer::apply(a, halves);
    CHECK(out.at(0, 0) == std::lround(100 - 40 * a.contrast));
    CHECK(out.at(0, 7) == std::lround(100 + 40 * a.contrast));
    CHECK(fer::apply(a, grey) == grey);
  }
  Image white(4, 4, 1, 250);  // no wrap past 255
  Augmentation bright;
  bright.brightness = 1.5f;
  CHECK(fer::apply(bright, white).at(0, 0) == 255);
}

TEST_CASE("augmentation out of range is refused, naming the value") {
  using O = AugmentOptions;
  CHECK(option_error([](O&) {}) == "(no error)");
  CHECK(option_error([](O& o) { o.flip = 1.5; }) == "augmentation: 'flip' must be between 0 and 1, got 1.5");
  CHECK(option_error([](O& o) { o.erase = -0.1; }) ==
        "augmentation: 'erase' must be between 0 and 1, got -0.1");
  CHECK(option_error([](O& o) { o.erase_area_max = 2; }) ==
        "augmentation: 'erase_area_max' must be between 0 and 1, got 2");
  CHECK(option_error([](O& o) { o.erase_area_min = 0.2; }) ==
        "augmentation: 'erase_area_min' must be between 0 and 0.1, got 0.2");
  CHECK(option_error([](O& o) { o.erase_aspect_max = 1000; }) ==
        "augmentation: 'erase_aspect_max' must be between 0.01 and 100, got 1000");
  CHECK(option_error([](O& o) { o.erase_aspect_min = 0; }) ==
        "augmentation: 'erase_aspect_min' must be between 0.01 and 3.3, got 0");
  CHECK(option_error([](O& o) { o.rotation = 200; }) ==
        "augmentation: 'rotation' must be between 0 and 180, got 200");
  CHECK(option_error([](O& o) { o.scale = 1; }) == "augmentation: 'scale' must be between 0 and 0.9, got 1");
  CHECK(option_error([](O& o) { o.shift = -1; }) == "augmentation: 'shift' must be between 0 and 1, got -1");
  CHECK(option_error([](O& o) { o.crop_min = 0; }) ==
        "augmentation: 'crop_min' must be between 0.05 and 1, got 0");
  CHECK(option_error([](O& o) { o.brightness = 3; }) ==
        "augmentation: 'brightness' must be between 0 and 1, got 3");
  CHECK(option_error([](O& o) { o.contrast = std::numeric_limits<double>::quiet_NaN(); }) ==
        "augmentation: 'contrast' must be between 0 and 1, got nan");
}

}  // namespace
}  // namespace fer::test
