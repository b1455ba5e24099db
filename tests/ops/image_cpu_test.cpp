// The CPU's image preprocessing: order of flip, normalisation and erasing, grey images, and rectangles that
// extend beyond the image.
#include "cpu_values.h"

namespace fer::testing {
namespace {

constexpr float kMean[3] = {0.485f, 0.456f, 0.406f}, kStd[3] = {0.229f, 0.224f, 0.225f};
constexpr float kNone[3] = {0, 0, 0}, kOne[3] = {1, 1, 1};

Tensor bytes(const Shape& shape) {
  std::vector<std::uint8_t> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i)
    values.push_back(static_cast<std::uint8_t>(philox_word({5, 6, 7}, i) & 255));
  return Tensor::from<std::uint8_t>(shape, values);
}

}  // namespace

TEST_CASE_TEMPLATE("cpu images: flips and erases the right pixels", T, float, double) {
  for (std::int64_t channels : {1, 3}) {
    CAPTURE(channels);
    constexpr std::int64_t n = 3, height = 5, width = 4;
    const Tensor images = bytes({n, height, width, channels});
    const std::vector<ImageTransform> transforms{
        {}, {.flip = 1}, {.flip = 1, .erase_top = 1, .erase_left = 2, .erase_height = 3, .erase_width = 2}};
    Tensor y = poisoned({n, height, width, 3}, dtype_of<T>());
    cpu().preprocess_images(images, transforms, kMean, kStd, y);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t r = 0; r < height; ++r) {
        for (std::int64_t x = 0; x < width; ++x) {
          for (int c = 0; c < 3; ++c) {
            const std::int64_t column = i > 0 ? width - 1 - x : x;
            const int pixel = images.data<std::uint8_t>()[((i * height + r) * width + column) * channels +
                                                          (channels == 3 ? c : 0)];
            // The rectangle counts from the left of the flipped image.
            const bool erased = i == 2 && r >= 1 && r < 4 && x >= 2;
            expected.push_back(erased ? 0 : (pixel / 255.0 - kMean[c]) / kStd[c]);
          }
        }
      }
    }
    CHECK(error(doubles<T>(y), expected) < tolerance<T>(1e-15, 3e-7));
  }
}

TEST_CASE("cpu images: black and white are exact, erased is zero after normalising") {
  const Tensor images = Tensor::from<std::uint8_t>({1, 1, 3, 1}, {0, 255, 255});
  const std::vector<ImageTransform> transforms{{.erase_left = 2, .erase_height = 1, .erase_width = 1}};
  Tensor y = poisoned({1, 1, 3, 3}, DType::float32);
  cpu().preprocess_images(images, transforms, kNone, kOne, y);
  CHECK(y.to_vector<float>() == std::vector<float>{0, 0, 0, 1, 1, 1, 0, 0, 0});
}

TEST_CASE("cpu images: errors name the shapes that do not fit") {
  const Tensor images = bytes({2, 5, 4, 3});
  Tensor y = poisoned({2, 5, 4, 3}, DType::float32);
  std::vector<ImageTransform> transforms(2);
  const auto run = [&] { cpu().preprocess_images(images, transforms, kMean, kStd, y); };
  transforms[1] = {.erase_top = 3, .erase_left = 1, .erase_height = 3, .erase_width = 2};
  CHECK_THROWS_WITH_AS(
      run(),
      "[preprocess_images] image 1 of 5 x 4 pixels does not contain the 3 x 2 pixels to erase at row "
      "3, column 1",
      ShapeError);
  transforms[1] = {.erase_left = -1, .erase_height = 1, .erase_width = 2};
  CHECK_THROWS_AS(run(), ShapeError);
  transforms[1] = {.erase_height = 5, .erase_width = 4};  // all of it is allowed
  run();
  transforms.pop_back();
  CHECK_THROWS_WITH_AS(run(), "[preprocess_images] 2 images have 1 transforms", ShapeError);
  transforms.resize(2);
  y = poisoned({2, 4, 5, 3}, DType::float32);
  CHECK_THROWS_WITH_AS(run(), "[preprocess_images] images (2, 5, 4, 3) become (2, 5, 4, 3), not (2, 4, 5, 3)",
                       ShapeError);
  y = poisoned({2, 5, 4, 3}, DType::float32);
  const float zero[3] = {1, 0, 1};
  CHECK_THROWS_WITH_AS(cpu().preprocess_images(images, transforms, kMean, zero, y),
                       "[preprocess_images] deviations must be positive, got 1, 0, 1", ConfigError);
  CHECK_THROWS_WITH_AS(cpu().preprocess_images(bytes({2, 5, 4, 4}), transforms, kMean, kStd, y),
                       "[preprocess_images] needs images N x H x W x 1 or 3, got (2, 5, 4, 4)", ShapeError);
}

}  // namespace fer::testing
