#include "fer/report/embedding.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>

#include "fer/error.h"

namespace fer {
namespace {

using Matrix = Eigen::MatrixXd;

Matrix to_matrix(const Tensor& rows, std::int64_t least, const char* op) {
  require<ShapeError>(rows.rank() == 2 && rows.dim(0) >= least && rows.dim(1) >= 1, "[", op, "] needs ",
                      least, " rows or more of one length, got ", rows.shape());
  const auto values = rows.to_vector<float>();
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<const RowMajor>(values.data(), rows.dim(0), rows.dim(1)).cast<double>();
}

struct Components {
  Matrix coordinates;  // N x 2
  double first, second;
};

Components principal(Matrix x) {
  x.rowwise() -= x.colwise().mean();
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(x.transpose() * x);
  const Eigen::Index d = x.cols();
  Matrix directions = Matrix::Zero(d, 2);
  for (Eigen::Index k = 0; k < std::min<Eigen::Index>(2, d); ++k) {
    Eigen::VectorXd v = solver.eigenvectors().col(d - 1 - k);
    Eigen::Index greatest = 0;
    v.cwiseAbs().maxCoeff(&greatest);
    directions.col(k) = v[greatest] < 0 ? Eigen::VectorXd(-v) : v;
  }
  const double total = std::max(x.squaredNorm(), 1e-300);
  Components result{x * directions, 0, 0};
  result.first = result.coordinates.col(0).squaredNorm() / total;
  result.second = result.coordinates.col(1).squaredNorm() / total;
  return result;
}

Matrix squared_distances(const Matrix& x) {
  const Eigen::VectorXd norms = x.rowwise().squaredNorm();
  Matrix d = -2 * x * x.transpose();
  d.colwise() += norms;
  d.rowwise() += norms.transpose();
  return d.cwiseMax(0);
}

/// Row i of P: a normal distribution around sample i, whose width gives the requested perplexity.
Eigen::VectorXd conditional(const Eigen::VectorXd& distances, Eigen::Index i, double perplexity) {
  const double wanted = std::log(perplexity);
  double least = distances[i == 0 ? 1 : 0];
  for (Eigen::Index j = 0; j < distances.size(); ++j) {
    if (j != i) least = std::min(least, distances[j]);
  }
  double beta = 1.0 / std::max(distances.mean(), 1e-12), low = 0, high = -1;
  Eigen::VectorXd p;
  for (int step = 0; step < 60; ++step) {
    p = (-(distances.array() - least) * beta).exp();  // subtracting the minimum keeps the sum at 1 or more
    p[i] = 0;
    const double sum = p.sum();
    const double entropy = std::log(sum) + beta * (p.array() * (distances.array() - least)).sum() / sum;
    p /= sum;
    if (std::abs(entropy - wanted) < 1e-6) break;
    if (entropy > wanted) {
      low = beta;
      beta = high < 0 ? 2 * beta : (beta + high) / 2;
    } else {
      high = beta;
      beta = (beta + low) / 2;
    }
  }
  return p;
}

Matrix affinities(const Matrix& x, double perplexity) {
  const Matrix d = squared_distances(x);
  Matrix p(d.rows(), d.cols());
  for (Eigen::Index i = 0; i < d.rows(); ++i) p.row(i) = conditional(d.row(i).transpose(), i, perplexity);
  p = ((p + p.transpose()) / (2.0 * static_cast<double>(d.rows()))).eval();
  return p.cwiseMax(1e-12);
}

Embedding to_embedding(const Matrix& y, double first, double second) {
  Embedding result;
  for (Eigen::Index i = 0; i < y.rows(); ++i) result.points.emplace_back(y(i, 0), y(i, 1));
  result.first = first;
  result.second = second;
  return result;
}

}  // namespace

Embedding pca(const Tensor& rows) {
  const Components c = principal(to_matrix(rows, 2, "pca"));
  return to_embedding(c.coordinates, c.first, c.second);
}

Embedding tsne(const Tensor& rows, const TsneOptions& options) {
  const Matrix x = to_matrix(rows, 4, "tsne");
  const Eigen::Index n = x.rows();
  const Matrix p = affinities(x, std::min(options.perplexity, static_cast<double>(n - 1) / 3));
  Matrix y = principal(x).coordinates;
  const double deviation = std::sqrt(y.col(0).squaredNorm() / static_cast<double>(n));
  y *= 1e-2 / std::max(deviation, 1e-12);
  Matrix velocity = Matrix::Zero(n, 2), gains = Matrix::Ones(n, 2), kernel, force;
  const int early = options.iterations / 4;
  const double rate = std::max(50.0, static_cast<double>(n) / options.exaggeration);
  double total = 1;
  for (int iteration = 0; iteration < options.iterations; ++iteration) {
    kernel = (1.0 + squared_distances(y).array()).inverse();  // Student's t with one degree of freedom
    kernel.diagonal().setZero();
    total = kernel.sum();
    const double factor = iteration < early ? options.exaggeration : 1;
    force = ((factor * p.array() - kernel.array() / total) * kernel.array()).matrix();
    const Eigen::VectorXd sums = force.rowwise().sum();
    const Matrix gradient = 4 * (sums.asDiagonal() * y - force * y);
    for (Eigen::Index i = 0; i < gradient.size(); ++i) {
      const bool turned = (gradient(i) > 0) == (velocity(i) > 0);
      gains(i) = std::max(0.01, turned ? gains(i) * 0.8 : gains(i) + 0.2);
    }
    const double momentum = iteration < early ? 0.5 : 0.8;
    velocity = momentum * velocity - rate * gains.cwiseProduct(gradient);
    y += velocity;
    y.rowwise() -= y.colwise().mean();
  }
  kernel = (1.0 + squared_distances(y).array()).inverse();
  kernel.diagonal().setZero();
  total = kernel.sum();
  double divergence = 0;
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j < n; ++j) {
      if (i != j) divergence += p(i, j) * std::log(p(i, j) / std::max(kernel(i, j) / total, 1e-300));
    }
  }
  return to_embedding(y, divergence, 0);
}

}  // namespace fer
