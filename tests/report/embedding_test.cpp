// Principal components of points whose axes are known; t-SNE of clusters.
#include "fer/report/embedding.h"

#include <doctest/doctest.h>

#include <cmath>

#include "fer/error.h"
#include "fer/tensor/random.h"

namespace {

/// `clusters` clouds of `each` points in `dim` dimensions, much farther apart than they are wide.
fer::Tensor clouds(std::int64_t clusters, std::int64_t each, std::int64_t dim) {
  fer::Random random({3, fer::fnv1a64("clouds"), 0});
  std::vector<float> values;
  for (std::int64_t i = 0; i < clusters * each; ++i) {
    for (std::int64_t d = 0; d < dim; ++d) {
      values.push_back(static_cast<float>((d == i % clusters ? 10.0 : 0.0) + 0.5 * random.normal()));
    }
  }
  return fer::Tensor::from<float>({clusters * each, dim}, values);
}

}  // namespace

TEST_CASE("principal components of an ellipse") {
  // Variance 9 along (3, 4) / 5, 1 along (-4, 3) / 5, in a plane of 3 dimensions.
  std::vector<float> values;
  for (int i = 0; i < 360; ++i) {
    const double a = 3 * std::sqrt(2.0) * std::cos(i * 0.017453292519943295),
                 b = std::sqrt(2.0) * std::sin(i * 0.017453292519943295);
    values.insert(values.end(),
                  {static_cast<float>(7 + 0.6 * a - 0.8 * b), static_cast<float>(0.8 * a + 0.6 * b), 2.0f});
  }
  const fer::Embedding e = fer::pca(fer::Tensor::from<float>({360, 3}, values));
  CHECK(e.first == doctest::Approx(0.9).epsilon(1e-4));
  CHECK(e.second == doctest::Approx(0.1).epsilon(1e-4));
  CHECK(e.points[0].first == doctest::Approx(3 * std::sqrt(2.0)).epsilon(1e-4));
  CHECK(std::abs(e.points[0].second) < 1e-4);
  CHECK(std::abs(e.points[90].second) == doctest::Approx(std::sqrt(2.0)).epsilon(1e-4));
}

TEST_CASE("t-SNE keeps clusters apart, and the same rows give the same picture") {
  const fer::Tensor rows = clouds(3, 20, 10);
  fer::TsneOptions options;
  options.perplexity = 8;
  options.iterations = 200;
  const fer::Embedding e = fer::tsne(rows, options);
  REQUIRE(e.points.size() == 60);
  const auto distance = [&](std::size_t i, std::size_t j) {
    return std::hypot(e.points[i].first - e.points[j].first, e.points[i].second - e.points[j].second);
  };
  // The nearest neighbour of every point is in its own cluster.
  for (std::size_t i = 0; i < 60; ++i) {
    std::size_t nearest = i == 0 ? 1 : 0;
    for (std::size_t j = 0; j < 60; ++j) {
      if (j != i && distance(i, j) < distance(i, nearest)) nearest = j;
    }
    CHECK(nearest % 3 == i % 3);
  }
  CHECK(e.first > 0);
  CHECK(fer::tsne(rows, options).points == e.points);
}

TEST_CASE("too few rows are refused") {
  const fer::Tensor one = fer::Tensor::zeros({1, 4});
  CHECK_THROWS_AS(fer::pca(one), fer::ShapeError);
  CHECK_THROWS_AS(fer::tsne(fer::Tensor::zeros({3, 4})), fer::ShapeError);
  CHECK_THROWS_AS(fer::pca(fer::Tensor::zeros({8})), fer::ShapeError);
}
