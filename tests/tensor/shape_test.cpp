#include <doctest/doctest.h>

#include "fer/error.h"
#include "fer/tensor/shape.h"

namespace fer {
namespace {

TEST_CASE("a shape knows its extents, rows and channels") {
  const Shape shape{2, 3, 4};
  CHECK(shape.rank() == 3);
  CHECK(shape.numel() == 24);
  CHECK(shape.rows() == 6);
  CHECK(shape.channels() == 4);
  CHECK(shape[0] == 2);
  CHECK(shape[-1] == 4);
  CHECK(shape[-3] == 2);
  CHECK(shape.str() == "(2, 3, 4)");
  CHECK(Shape{7}.str() == "(7)");
}

TEST_CASE("a scalar has one element, one row and one channel") {
  const Shape scalar;
  CHECK(scalar.rank() == 0);
  CHECK(scalar.numel() == 1);
  CHECK(scalar.rows() == 1);
  CHECK(scalar.channels() == 1);
  CHECK(scalar.str() == "()");
}

TEST_CASE("an extent of zero empties a shape") {
  CHECK(Shape{3, 0, 5}.numel() == 0);
  CHECK(Shape{3, 0}.rows() == 3);
  CHECK(Shape{3, 0}.channels() == 0);
}

TEST_CASE("shapes compare by rank and extents") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK_FALSE(Shape{} == Shape{1});
}

TEST_CASE("an extent can be set, also from the back") {
  Shape shape{2, 3};
  shape.set(-1, 9);
  CHECK(shape == Shape{2, 9});
  CHECK_THROWS_WITH_AS(shape.set(2, 1), "dimension 2 of shape (2, 9) does not exist", ShapeError);
}

TEST_CASE("a dimension that does not exist is an error that names the shape") {
  const Shape shape{2, 3};
  CHECK_THROWS_WITH_AS(shape[2], "dimension 2 of shape (2, 3) does not exist", ShapeError);
  CHECK_THROWS_WITH_AS(shape[-3], "dimension -3 of shape (2, 3) does not exist", ShapeError);
  CHECK_THROWS_WITH_AS(Shape()[0], "dimension 0 of shape () does not exist", ShapeError);
}

TEST_CASE("more than six dimensions are refused") {
  CHECK(Shape{1, 1, 1, 1, 1, 1}.rank() == 6);
  CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1, 1}), "a shape has at most 6 dimensions, got 7", ShapeError);
}

TEST_CASE("broadcasting follows NumPy's rule") {
  const auto both_ways = [](const Shape& a, const Shape& b, const Shape& expected) {
    CHECK(broadcast_shapes(a, b, "op") == expected);
    CHECK(broadcast_shapes(b, a, "op") == expected);
  };
  both_ways({2, 3}, {2, 3}, {2, 3});
  both_ways({2, 3}, {}, {2, 3});
  both_ways({2, 3}, {3}, {2, 3});
  both_ways({2, 3}, {2, 1}, {2, 3});
  both_ways({2, 1}, {1, 3}, {2, 3});
  both_ways({5, 1, 4}, {3, 1}, {5, 3, 4});
  both_ways({0, 3}, {1, 3}, {0, 3});
  both_ways({1}, {0}, {0});
  CHECK_THROWS_WITH_AS(broadcast_shapes({2, 3}, {2}, "add"), "[add] shapes (2, 3) and (2) do not broadcast",
                       ShapeError);
  CHECK_THROWS_WITH_AS(broadcast_shapes({0}, {2}, "mul"), "[mul] shapes (0) and (2) do not broadcast",
                       ShapeError);
}

}  // namespace
}  // namespace fer
