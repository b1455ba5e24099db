// Pooling. Max pooling sends its gradient to the pixel of the maximum, average pooling an equal share to
// each.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

Variable max_pool2d(const Variable& x, int kernel, int stride, int padding) {
  check_operands("max_pool2d", {{"x", value_or_none(x)}});
  check_rank("max_pool2d", {"x", x.value()}, 4, "N x H x W x C");
  require<ConfigError>(kernel >= 1 && stride >= 1, "[max_pool2d] kernel ", kernel, " and stride ", stride,
                       " start at 1");
  require<ConfigError>(padding >= 0 && padding <= kernel / 2, "[max_pool2d] padding ", padding,
                       " is outside of 0 .. ", kernel / 2, ", half of the kernel ", kernel,
                       ": a window of padding alone has no maximum");
  const auto extent = [&](std::int64_t size) {
    require<ShapeError>(size > 0 && kernel <= size + 2 * padding, "[max_pool2d] a kernel of ", kernel, " x ",
                        kernel, " does not fit into x ", x.shape(),
                        padding > 0 ? concat(" with padding ", padding) : "");
    return (size + 2 * padding - kernel) / stride + 1;
  };
  const Shape shape = {x.dim(0), extent(x.dim(1)), extent(x.dim(2)), x.dim(3)};
  Tensor y = Tensor::empty_like(x.value(), shape);
  Tensor argmax = Tensor::empty(shape, DType::int32, x.device());
  backend_of(y).max_pool2d_forward(x.value(), {kernel, stride, padding}, y, argmax);
  return record({"max_pool2d", {{"kernel", kernel}, {"stride", stride}, {"padding", padding}}}, std::move(y),
                {x},
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
