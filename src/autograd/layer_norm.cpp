// Layer norm of each row of rows x C. With x_hat = (x - mean) inv_std and g = weight dy,
//   y = weight x_hat + bias,  dx = inv_std (g - mean_c(g) - x_hat mean_c(g x_hat)),
//   dweight = sum over rows of dy x_hat,  dbias = sum over rows of dy.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double eps) {
  check_operands("layer_norm", {{"x", value_or_none(x)},
                                {"weight", value_or_none(weight), parameter},
                                {"bias", value_or_none(bias), parameter}});
  require<ShapeError>(x.rank() >= 1, "[layer_norm] x needs a dimension to normalise, got shape ", x.shape());
  check_shape("layer_norm", {"weight", weight.value()}, {x.dim(-1)}, "the channels of x ", x.shape());
  check_shape("layer_norm", {"bias", bias.value()}, {x.dim(-1)}, "the channels of x ", x.shape());
  Tensor y = Tensor::empty_like(x.value());
  Tensor mean = Tensor::empty_like(weight.value(), {x.shape().rows()}), inv_std = Tensor::empty_like(mean);
  backend_of(y).layer_norm_forward(x.value(), weight.value(), bias.value(), eps, y, mean, inv_std);
  const bool needs_dx = needs_gradient(x), needs_dw = needs_gradient(weight), needs_db = needs_gradient(bias);
  const bool needs_any = needs_dx || needs_dw || needs_db;
  return record({"layer_norm", {{"eps", eps}}}, std::move(y), {x, weight, bias},
                [needs_dx, needs_dw, needs_db, x_saved = save_if(needs_any, x, "layer_norm", "x"),
                 weight_saved = save_if(needs_any, weight.value(), "layer_norm", "weight"),
                 mean_saved = save_if(needs_any, mean, "layer_norm", "mean"),
                 inv_std_saved = save_if(needs_any, inv_std, "layer_norm", "inv_std")](
                    const Tensor& dy) -> std::vector<Tensor> {
                  const Tensor& w = weight_saved.get();
                  Tensor dx = empty_if(needs_dx, dy.shape(), dy);
                  Tensor dw = parameter_gradient_if(needs_dw, w.shape(), dy);
                  Tensor db = parameter_gradient_if(needs_db, w.shape(), dy);
                  backend_of(dy).layer_norm_backward(x_saved.get(), w, mean_saved.get(), inv_std_saved.get(),
                                                     dy, dx, dw, db);
                  return {dx, dw, db};
                });
}

}  // namespace fer
