// Batch norm on the columns of rows x C. With x_hat = (x - mean) inv_std and R rows,
//   y = weight x_hat + bias,  dbias = sum dy,  dweight = sum dy x_hat,
//   training:    dx = weight inv_std (dy - dbias / R - x_hat dweight / R), as mean and variance depend on x;
//   evaluation:  dx = weight inv_std dy, as the running statistics are constants.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

void check(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& bias,
           const Tensor& running_mean, const Tensor& running_var) {
  check_operands(op, {{"x", x},
                      {"weight", weight},
                      {"bias", bias},
                      {"running_mean", running_mean},
                      {"running_var", running_var}});
  require<ShapeError>(x.rank() >= 2, "[", op, "] x needs rows and channels, got shape ", x.shape());
  const Shape channels = {x.dim(-1)};
  for (const Operand& c : {Operand{"weight", weight}, Operand{"bias", bias},
                           Operand{"running_mean", running_mean}, Operand{"running_var", running_var}}) {
    check_shape(op, c, channels, "the channels of x ", x.shape());
  }
}

}  // namespace

Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias, Tensor& running_mean,
                    Tensor& running_var, double momentum, double eps) {
  check("batch_norm", value_or_none(x), value_or_none(weight), value_or_none(bias), running_mean,
        running_var);
  require<ShapeError>(x.shape().rows() > 1, "[batch_norm] x of shape ", x.shape(),
                      " has one row; the variance of a batch needs at least two");
  Tensor y = Tensor::empty_like(x.value());
  Tensor mean = Tensor::empty_like(running_mean), inv_std = Tensor::empty_like(running_mean);
  backend_of(y).batch_norm_forward(x.value(), weight.value(), bias.value(), momentum, eps, running_mean,
                                   running_var, y, mean, inv_std);
  const bool needs_dx = needs_gradient(x), needs_dw = needs_gradient(weight), needs_db = needs_gradient(bias);
  const bool any = needs_dx || needs_dw || needs_db;
  return record("batch_norm", std::move(y), {x, weight, bias},
                [needs_dx, needs_dw, needs_db, x_saved = save_if(any, x.value(), "batch_norm", "x"),
                 weight_saved = save_if(any, weight.value(), "batch_norm", "weight"),
                 mean_saved = save_if(any, mean, "batch_norm", "mean"),
                 inv_std_saved = save_if(any, inv_std, "batch_norm", "inv_std")](
                    const Tensor& dy) -> std::vector<Tensor> {
                  const Tensor& w = weight_saved.get();
                  Tensor dx = empty_if(needs_dx, dy.shape(), dy);
                  Tensor dw = empty_if(needs_dw, w.shape(), dy), db = empty_if(needs_db, w.shape(), dy);
                  backend_of(dy).batch_norm_backward(x_saved.get(), w, mean_saved.get(), inv_std_saved.get(),
                                                     dy, dx, dw, db);
                  return {dx, dw, db};
                });
}

Variable batch_norm_eval(const Variable& x, const Variable& weight, const Variable& bias,
                         const Tensor& running_mean, const Tensor& running_var, double eps) {
  check("batch_norm_eval", value_or_none(x), value_or_none(weight), value_or_none(bias), running_mean,
        running_var);
  Tensor y = Tensor::empty_like(x.value());
  backend_of(y).batch_norm_eval_forward(x.value(), weight.value(), bias.value(), running_mean, running_var,
                                        eps, y);
  const bool needs_dx = needs_gradient(x), needs_dw = needs_gradient(weight), needs_db = needs_gradient(bias);
  const bool any = needs_dx || needs_dw || needs_db;
  return record(
      "batch_norm_eval", std::move(y), {x, weight, bias},
      [needs_dx, needs_dw, needs_db, eps, x_saved = save_if(needs_dw, x.value(), "batch_norm_eval", "x"),
       weight_saved = save_if(any, weight.value(), "batch_norm_eval", "weight"),
       mean_saved = save_if(any, running_mean, "batch_norm_eval", "running_mean"),
       var_saved = save_if(any, running_var, "batch_norm_eval", "running_var")](
          const Tensor& dy) -> std::vector<Tensor> {
        const Tensor& w = weight_saved.get();
        Tensor dx = empty_if(needs_dx, dy.shape(), dy);
        Tensor dw = empty_if(needs_dw, w.shape(), dy), db = empty_if(needs_db, w.shape(), dy);
        // Only dweight reads x; without it, dy stands in for the x that was not kept.
        backend_of(dy).batch_norm_eval_backward(needs_dw ? x_saved.get() : dy, w, mean_saved.get(),
                                                var_saved.get(), eps, dy, dx, dw, db);
        return {dx, dw, db};
      });
}

}  // namespace fer
