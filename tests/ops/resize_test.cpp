// resize_images: values worked out by hand, agreement with the resizing of pictures, and messages for wrong
// shapes. tests/data/image_test.cpp compares with Pillow.
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::check_values;

Tensor resized(const Shape& from, const std::vector<std::uint8_t>& bytes, const Shape& to, Device device) {
  Tensor y = Tensor::empty(to, DType::uint8, device);
  backend(device).resize_images(Tensor::from(from, bytes, device), y);
  return y;
}

OP_TEST("resize_images: the triangle filter's weights, when halving and when doubling") {
  // When halving, the support is two pixels on each side; at the border it is cut and the weights
  // renormalised.
  check_values(resized({1, 1, 4, 1}, {0, 70, 140, 210}, {1, 1, 2, 1}, device), {1, 1, 2, 1}, {50, 160});
  check_values(resized({1, 1, 2, 1}, {0, 100}, {1, 1, 4, 1}, device), {1, 1, 4, 1}, {0, 25, 75, 100});
  check_values(resized({1, 2, 1, 1}, {0, 100}, {1, 4, 1, 1}, device), {1, 4, 1, 1}, {0, 25, 75, 100});
}

OP_TEST("resize_images: channels and images do not mix; equal extents give a copy") {
  const std::vector<std::uint8_t> two = {1, 2, 3, 3, 4, 5, 11, 12, 13, 13, 14, 15};
  check_values(resized({2, 1, 2, 3}, two, {2, 1, 1, 3}, device), {2, 1, 1, 3}, {2, 3, 4, 12, 13, 14});
  check_values(resized({2, 1, 2, 3}, two, {2, 1, 2, 3}, device), {2, 1, 2, 3},
               std::vector<double>(two.begin(), two.end()));
}

OP_TEST("resize_images: errors") {
  CHECK_MESSAGE_OF(
      resized({2, 1, 2, 3}, std::vector<std::uint8_t>(12), {1, 1, 2, 3}, device), ShapeError,
      "[resize_images] needs images N x H x W x C and y N x H' x W' x C, got (2, 1, 2, 3) and (1, 1, 2, "
      "3)");
  CHECK_MESSAGE_OF(resized({1, 1, 2, 3}, std::vector<std::uint8_t>(6), {1, 0, 2, 3}, device), ShapeError,
                   "[resize_images] an image needs from 1 to 2^28 pixels, got (1, 0, 2, 3)");
}

}  // namespace
}  // namespace fer
