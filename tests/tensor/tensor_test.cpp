#include "fer/tensor/tensor.h"

#include <doctest/doctest.h>

#include <limits>

#include "fer/error.h"
#include "fer/tensor/backend.h"

namespace fer {
namespace {

Tensor counting(const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return Tensor::from(shape, values);
}

TEST_CASE("a tensor holds what it was made from") {
  const Tensor x = Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(x.defined());
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.dtype() == DType::float32);
  CHECK(x.device() == Device::cpu);
  CHECK(x.bytes() == 24);
  CHECK(x.to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(Tensor::zeros({3}).to_vector<float>() == std::vector<float>{0, 0, 0});
  CHECK(Tensor::full({2}, 7, DType::int64).to_vector<std::int64_t>() == std::vector<std::int64_t>{7, 7});
  CHECK(Tensor::scalar(2.5, DType::float64).rank() == 0);
  CHECK(Tensor::scalar(2.5, DType::float64).item() == 2.5);
}

TEST_CASE("the number of values must be the shape's") {
  CHECK_THROWS_WITH_AS(Tensor::from<float>({2, 2}, {1, 2, 3}), "shape (2, 2) needs 4 values, got 3",
                       ShapeError);
}

TEST_CASE("impossible shapes are refused before memory is allocated") {
  CHECK_THROWS_WITH_AS(Tensor::empty({2, -3}), "a tensor cannot have the negative extent in (2, -3)",
                       ShapeError);
  const std::int64_t huge = std::int64_t{1} << 40;
  CHECK_THROWS_WITH_AS(Tensor::empty({huge, huge}),
                       "a tensor of shape (1099511627776, 1099511627776) is larger than any memory",
                       ShapeError);
}

TEST_CASE("empty tensors work without memory") {
  Tensor x = Tensor::zeros({0, 3});
  CHECK(x.defined());
  CHECK(x.numel() == 0);
  x.fill(1);
  CHECK(x.to_vector<float>().empty());
  CHECK(x.clone().shape() == Shape{0, 3});
  CHECK(x.reshape({3, 0}).numel() == 0);
}

TEST_CASE("data is accessed as its own type only") {
  Tensor x = Tensor::zeros({2});
  CHECK_THROWS_WITH_AS(x.data<double>(), "a tensor of float32 was accessed as float64", TypeError);
  CHECK_THROWS_WITH_AS(x.mutable_data<std::int32_t>(), "a tensor of float32 was accessed as int32",
                       TypeError);
  CHECK_THROWS_WITH_AS(x.to_vector<std::uint8_t>(), "a tensor of float32 was accessed as uint8", TypeError);
}

TEST_CASE("an undefined tensor says so") {
  Tensor none;
  CHECK_FALSE(none.defined());
  CHECK_THROWS_WITH_AS(none.device(), "an undefined tensor has no device", Error);
  CHECK_THROWS_WITH_AS(none.raw(), "an undefined tensor has no data", Error);
  CHECK_THROWS_WITH_AS(none.data<float>(), "an undefined tensor has no data", TypeError);
  CHECK_FALSE(none.clone().defined());
  CHECK_FALSE(none.shares_memory_with(none));
}

TEST_CASE("reshape shares memory and can infer one extent") {
  Tensor x = counting({2, 6});
  Tensor y = x.reshape({3, -1});
  CHECK(y.shape() == Shape{3, 4});
  CHECK(y.shares_memory_with(x));
  y.fill(5);
  CHECK(x.to_vector<float>() == std::vector<float>(12, 5.0f));
  CHECK_THROWS_WITH_AS(x.reshape({5, -1}), "cannot reshape (2, 6) to (5, -1)", ShapeError);
  CHECK_THROWS_WITH_AS(x.reshape({4, 4}), "cannot reshape (2, 6) to (4, 4)", ShapeError);
  CHECK_THROWS_WITH_AS(x.reshape({-1, -1}), "reshape to (-1, -1): at most one extent may be -1", ShapeError);
}

TEST_CASE("slice is a view of rows") {
  Tensor x = counting({4, 3});
  Tensor y = x.slice(1, 2);
  CHECK(y.shape() == Shape{2, 3});
  CHECK(y.shares_memory_with(x));
  CHECK(y.to_vector<float>() == std::vector<float>{3, 4, 5, 6, 7, 8});
  CHECK(y.slice(1, 1).to_vector<float>() == std::vector<float>{6, 7, 8});
  y.fill(0);
  CHECK(x.to_vector<float>() == std::vector<float>{0, 1, 2, 0, 0, 0, 0, 0, 0, 9, 10, 11});
  CHECK(x.slice(4, 0).numel() == 0);
  CHECK_THROWS_WITH_AS(x.slice(3, 2), "slice [3, 5) leaves dimension 0 of (4, 3)", ShapeError);
  CHECK_THROWS_WITH_AS(x.slice(-1, 2), "slice [-1, 1) leaves dimension 0 of (4, 3)", ShapeError);
  CHECK_THROWS_WITH_AS(Tensor::scalar(1).slice(0, 1), "slice [0, 1) leaves dimension 0 of ()", ShapeError);
}

TEST_CASE("clone has memory of its own") {
  Tensor x = counting({2, 2});
  Tensor y = x.clone();
  CHECK_FALSE(y.shares_memory_with(x));
  x.fill(9);
  CHECK(y.to_vector<float>() == std::vector<float>{0, 1, 2, 3});
}

TEST_CASE("copy_from converts the type and checks the shape") {
  Tensor x = Tensor::zeros({3}, DType::float64);
  x.copy_from(Tensor::from<std::int32_t>({3}, {-1, 0, 2}));
  CHECK(x.to_vector<double>() == std::vector<double>{-1, 0, 2});
  CHECK_THROWS_WITH_AS(x.copy_from(Tensor::zeros({1, 3})), "copy_from: shapes (3) and (1, 3) differ",
                       ShapeError);
  x.copy_from(x);
  CHECK(x.to_vector<double>() == std::vector<double>{-1, 0, 2});
}

TEST_CASE("to() returns the tensor itself when nothing changes") {
  const Tensor x = counting({2});
  CHECK(x.to(DType::float32).shares_memory_with(x));
  CHECK(x.to(Device::cpu).shares_memory_with(x));
  CHECK_FALSE(x.to(DType::float64).shares_memory_with(x));
}

TEST_CASE("item fetches one element of any type") {
  CHECK(Tensor::from<std::uint8_t>({1}, {200}).item() == 200.0);
  CHECK(Tensor::from<std::int64_t>({1, 1}, {-3}).item() == -3.0);
  CHECK_THROWS_WITH_AS(counting({2}).item(), "item() needs one element, the shape is (2)", ShapeError);
}

TEST_CASE("the version counts writes through every view") {
  Tensor x = Tensor::zeros({4, 2});
  Tensor view = x.slice(0, 1).reshape({2});
  const std::uint64_t before = x.version();
  (void)x.data<float>();
  CHECK(x.version() == before);
  view.mutable_data<float>()[0] = 1;
  CHECK(x.version() > before);
  CHECK(view.version() == x.version());
  CHECK(Tensor().version() == 0);
}

TEST_CASE("sole_owner tells whether memory may be reused") {
  Tensor x = Tensor::zeros({2});
  CHECK(x.sole_owner());
  {
    const Tensor view = x.reshape({1, 2});
    CHECK_FALSE(x.sole_owner());
  }
  CHECK(x.sole_owner());
  CHECK_FALSE(Tensor().sole_owner());
}

}  // namespace
}  // namespace fer
