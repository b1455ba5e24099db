// Sums. Every summed element receives the gradient of its sum:
//   y = sum_to(x):  dx = dy repeated to the shape of x
//   y = mean(x):    dx = dy / count
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

Variable sum_to(const Variable& x, const Shape& shape) {
  check_operands("sum_to", {{"x", value_or_none(x)}});
  require<ShapeError>(broadcast_shapes(x.shape(), shape, "sum_to") == x.shape(), "[sum_to] shape ", x.shape(),
                      " cannot be summed to ", shape);
  Tensor y = Tensor::empty_like(x.value(), shape);
  backend_of(y).sum_to(x.value(), y);
  return record("sum_to", std::move(y), {x},
                [sx = x.shape()](const Tensor& dy) -> std::vector<Tensor> { return {expand(dy, sx)}; });
}

Variable sum(const Variable& x) {
  check_operands("sum", {{"x", value_or_none(x)}});
  Tensor y = Tensor::empty_like(x.value(), {});
  backend_of(y).sum_to(x.value(), y);
  return record("sum", std::move(y), {x},
                [sx = x.shape()](const Tensor& dy) -> std::vector<Tensor> { return {expand(dy, sx)}; });
}

Variable mean(const Variable& x) {
  check_operands("mean", {{"x", value_or_none(x)}});
  require<ShapeError>(x.shape().numel() > 0, "[mean] x of shape ", x.shape(), " has no elements");
  const double share = 1.0 / static_cast<double>(x.shape().numel());
  Tensor y = Tensor::empty_like(x.value(), {});
  backend_of(y).sum_to(x.value(), y);
  backend_of(y).scale(y, share, y);
  return record("mean", std::move(y), {x}, [sx = x.shape(), share](const Tensor& dy) -> std::vector<Tensor> {
    return {expand(dy, sx, share)};
  });
}

}  // namespace fer
