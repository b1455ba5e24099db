// Projects samples of many dimensions to two: principal components, and t-SNE (van der Maaten and Hinton,
// 2008).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "fer/tensor/tensor.h"

namespace fer {

struct Embedding {
  std::vector<std::pair<double, double>> points;
  /// pca: the shares of the variance along both directions. tsne: the Kullback-Leibler divergence reached,
  /// and 0.
  double first = 0, second = 0;
};

/// Projects rows (N x D, float32) onto their two directions of greatest variance. The sign of a direction is
/// chosen so that its component of greatest magnitude is positive. ShapeError for fewer than two rows.
Embedding pca(const Tensor& rows);

struct TsneOptions {
  double perplexity = 30;  ///< lowered to (N - 1) / 3 if there are too few rows
  int iterations = 600;
  double exaggeration = 12;  ///< factor on the affinities in the first quarter of the iterations
};
/// Exact t-SNE, O(N^2) per iteration. It starts from the principal components, so the same rows give the same
/// result. ShapeError for fewer than four rows.
Embedding tsne(const Tensor& rows, const TsneOptions& options = {});

}  // namespace fer
