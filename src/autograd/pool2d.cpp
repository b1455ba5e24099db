// Pooling. Max pooling sends its gradient to the pixel of the maximum. Average pooling sends every pixel an
// equal share.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

Variable max_pool2d(const Variable& x, int kernel, int stride) {
  check_operands("max_pool2d", {{"x", value_or_none(x)}});
  check_rank("max_pool2d", {"x", x.value()}, 4, "N x H x W x C");
  require<ConfigError>(kernel >= 1 && stride >= 1, "[max_pool2d] kernel ", kernel, " and stride ", stride,
                       " start at 1");
  require<ShapeError>(kernel <= x.dim(1) && kernel <= x.dim(2), "[max_pool2d] a kernel of ", kernel, " x ",
                      kernel, " does not fit into x ", x.shape());
  const Shape shape = {x.dim(0), (x.dim(1) - kernel) / stride + 1, (x.dim(2) - kernel) / stride + 1,
                       x.dim(3)};
  Tensor y = Tensor::empty_like(x.value(), shape);
  Tensor argmax = Tensor::empty(shape, DType::int32, x.device());
  backend_of(y).max_pool2d_forward(x.value(), kernel, stride, y, argmax);
  return record({"max_pool2d", {{"kernel", kernel}, {"stride", stride}}}, std::move(y), {x},
                [sx = x.shape(), argmax_saved = save_if(needs_gradient(x), argmax, "max_pool2d", "argmax")](
                    const Tensor& dy) -> std::vector<Tensor> {
                  Tensor dx = Tensor::empty_like(dy, sx);
                  backend_of(dy).max_pool2d_backward(dy, argmax_saved.get(), dx);
                  return {dx};
                });
}

Variable global_avg_pool2d(const Variable& x) {
  check_operands("global_avg_pool2d", {{"x", value_or_none(x)}});
  check_rank("global_avg_pool2d", {"x", x.value()}, 4, "N x H x W x C");
  require<ShapeError>(x.dim(1) * x.dim(2) > 0, "[global_avg_pool2d] x of shape ", x.shape(),
                      " has no pixels");
  Tensor y = Tensor::empty_like(x.value(), {x.dim(0), x.dim(3)});
  backend_of(y).global_avg_pool2d_forward(x.value(), y);
  return record("global_avg_pool2d", std::move(y), {x},
                [sx = x.shape()](const Tensor& dy) -> std::vector<Tensor> {
                  Tensor dx = Tensor::empty_like(dy, sx);
                  backend_of(dy).global_avg_pool2d_backward(dy, dx);
                  return {dx};
                });
}

}  // namespace fer
