#include "fer/models/points_net.h"

#include "fer/autograd/ops.h"

namespace fer {

PointsNet::PointsNet(const IRBackboneConfig& config, std::int64_t image_size)
    : image_backbone_(register_module<IRBackbone>("image_backbone", config)),
      heat_(register_module<Linear>("heat", config.widths.back(), points)),
      grid_(image_backbone_.grid(image_size)) {}

std::string PointsNet::describe() const {
  return concat("PointsNet(", points, " points)");
}

const Variable& PointsNet::centres(const Variable& like) {
  if (centres_.defined() && centres_.dtype() == like.dtype() && centres_.device() == like.device()) {
    return centres_;
  }
  std::vector<double> xy;
  for (std::int64_t row = 0; row < grid_; ++row) {
    for (std::int64_t column = 0; column < grid_; ++column) {
      xy.push_back((static_cast<double>(column) + 0.5) / static_cast<double>(grid_));
      xy.push_back((static_cast<double>(row) + 0.5) / static_cast<double>(grid_));
    }
  }
  centres_ = Variable(Tensor::from<double>({grid_ * grid_, 2}, xy).to(like.dtype()).to(like.device()));
  return centres_;
}

Variable PointsNet::operator()(const Variable& x) {
  const Variable f = cast(image_backbone_(x), x.dtype());
  const std::int64_t n = f.dim(0), pixels = f.dim(1) * f.dim(2);
  require<ShapeError>(pixels == grid_ * grid_, "[points_net] was made for a grid of ", grid_, " x ", grid_,
                      ", got a map of ", f.shape());
  const Variable heat = softmax(transpose(heat_(reshape(f, {n, pixels, f.dim(3)}))));  // N x 68 x pixels
  return reshape(matmul(reshape(heat, {n * points, pixels}), centres(f)), {n, 2 * points});
}

}  // namespace fer
