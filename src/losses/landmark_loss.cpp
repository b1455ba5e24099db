#include "fer/losses/landmark_loss.h"

#include "fer/autograd/global_batch.h"
#include "fer/nearest.h"

#include <cmath>

namespace fer {
namespace {

Variable absolute(const Variable& x) {
  return add(relu(x), relu(scale(x, -1.0)));
}

/// With a = |d|, m = relu(a - beta) is the part above beta and c = a - m the part below it. The loss is c^2 /
/// (2 beta) + m.
Variable smooth_l1(const Variable& difference, double beta) {
  const Variable a = absolute(difference);
  const Variable threshold(Tensor::scalar(beta, a.dtype(), a.device()));
  const Variable beyond = relu(sub(a, threshold));
  const Variable clipped = sub(a, beyond);
  return add(scale(mul(clipped, clipped), 0.5 / beta), beyond);
}

}  // namespace

std::string_view name_of(LandmarkLossKind kind) {
  switch (kind) {
    case LandmarkLossKind::mse:
      return "mse";
    case LandmarkLossKind::smooth_l1:
      return "smooth_l1";
  }
  throw ConfigError("not a landmark loss");
}

LandmarkLossKind parse_landmark_loss(std::string_view text) {
  for (const LandmarkLossKind kind : {LandmarkLossKind::mse, LandmarkLossKind::smooth_l1}) {
    if (text == name_of(kind)) return kind;
  }
  throw ConfigError(unknown_name("landmark loss", text, {"mse", "smooth_l1"}));
}

LandmarkLoss::LandmarkLoss(LandmarkLossKind kind, double beta) : kind_(kind), beta_(beta) {
  require<ConfigError>(std::isfinite(beta) && beta > 0.0, "beta of the landmark loss is ", beta,
                       "; it must be above 0");
}

Variable LandmarkLoss::operator()(const Variable& points, const Tensor& target) const {
  require<ShapeError>(points.shape() == target.shape(), "[landmark_loss] points of shape ", points.shape(),
                      ", but the target has ", target.shape());
  const Variable difference = sub(points, Variable(target));
  return share_of_mean(
      mean(kind_ == LandmarkLossKind::mse ? mul(difference, difference) : smooth_l1(difference, beta_)));
}

double normalised_mean_error(const Tensor& points, const Tensor& target) {
  require<ShapeError>(points.shape() == target.shape() && points.rank() == 2 && points.dim(1) == 136,
                      "[normalised_mean_error] needs two N x 136 tensors, got ", points.shape(), " and ",
                      target.shape());
  const std::vector<double> p = points.to(DType::float64).to_vector<double>();
  const std::vector<double> t = target.to(DType::float64).to_vector<double>();
  double total = 0.0;
  for (std::size_t face = 0; face < p.size(); face += 136) {
    const double* q = &t[face];
    const double eyes = std::hypot(q[2 * 45] - q[2 * 36], q[2 * 45 + 1] - q[2 * 36 + 1]);
    require<DataError>(eyes > 0.0, "[normalised_mean_error] the eye corners of face ", face / 136,
                       " fall together");
    double distance = 0.0;
    for (std::size_t i = 0; i < 68; ++i) {
      distance += std::hypot(p[face + 2 * i] - q[2 * i], p[face + 2 * i + 1] - q[2 * i + 1]);
    }
    total += distance / 68.0 / eyes;
  }
  return total / static_cast<double>(points.dim(0));
}

}  // namespace fer
