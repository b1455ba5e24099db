// Batch norm on the columns of rows x C. With x_hat = (x - mean) inv_std and R rows,
//   y = weight x_hat + bias,  dbias = sum dy,  dweight = sum dy x_hat,
//   training:    dx = weight inv_std (dy - dbias / R - x_hat dweight / R), as mean and variance depend on x;
//   evaluation:  dx = weight inv_std dy, as the running statistics are constants.
// In training, PReLU and the sum with a residual may follow in the same passes over memory. Only x is kept;
// operations that need y in backward recompute it from x.
// In a GlobalBatch, means and sums over the rows are those of all ranks: the moments are gathered in forward,
// the sums for dx are added up in backward. The parameters' gradients stay those of this rank's rows, because
// all gradients of parameters are added up later.
#include "autograd/op_checks.h"
#include "fer/autograd/global_batch.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

void check(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& bias,
           const Tensor& running_mean, const Tensor& running_var) {
  check_operands(op, {{"x", x},
                      {"weight", weight, parameter},
                      {"bias", bias, parameter},
                      {"running_mean", running_mean, parameter},
                      {"running_var", running_var, parameter}});
  require<ShapeError>(x.rank() >= 2, "[", op, "] x needs rows and channels, got shape ", x.shape());
  const Shape channels = {x.dim(-1)};
  for (const Operand& c : {Operand{"weight", weight}, Operand{"bias", bias},
                           Operand{"running_mean", running_mean}, Operand{"running_var", running_var}}) {
    check_shape(op, c, channels, "the channels of x ", x.shape());
  }
}

}  // namespace

Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias, Tensor& running_mean,
                    Tensor& running_var, double momentum, double eps, const Variable& slope,
                    const Variable& residual) {
  check("batch_norm", value_or_none(x), value_or_none(weight), value_or_none(bias), running_mean,
        running_var);
  check_operands("batch_norm", {{"x", x.value()}},
                 {{"slope", value_or_none(slope), parameter}, {"residual", value_or_none(residual)}});
  if (slope.defined())
    check_shape("batch_norm", {"slope", slope.value()}, {x.dim(-1)}, "the channels of x ", x.shape());
  if (residual.defined())
    check_shape("batch_norm", {"residual", residual.value()}, x.shape(), "the sum with batch_norm(x)");
  const GlobalBatch* batch = GlobalBatch::current();  // each of its ranks has a row at least
  require<ShapeError>(batch || x.shape().rows() > 1, "[batch_norm] x of shape ", x.shape(),
                      " has one row; the variance of a batch needs at least two");
  Tensor y = Tensor::empty_like(x.value());
  Tensor mean = Tensor::empty_like(running_mean), inv_std = Tensor::empty_like(running_mean);
  Backend& device = backend_of(y);
  if (batch) {
    Tensor moments = Tensor::empty({1, 3, x.dim(-1)}, DType::float64, y.device());
    device.batch_norm_moments(x.value(), moments);
    device.batch_norm_statistics(batch->ranks().all_gather(moments), momentum, eps, running_mean, running_var,
                                 mean, inv_std);
    device.batch_norm_apply(x.value(), weight.value(), bias.value(), value_or_none(slope),
                            value_or_none(residual), mean, inv_std, y);
  } else {
    device.batch_norm_forward(x.value(), weight.value(), bias.value(), value_or_none(slope),
                              value_or_none(residual), momentum, eps, running_mean, running_var, y, mean,
                              inv_std);
  }
  const bool needs_dx = needs_gradient(x), needs_dw = needs_gradient(weight), needs_db = needs_gradient(bias);
  const bool needs_dslope = needs_gradient(slope), needs_dresidual = needs_gradient(residual);
  const bool needs_any = needs_dx || needs_dw || needs_db || needs_dslope;
  // The recipe and the backward function read the same values.
  struct SavedInputs {
    Saved x, weight, bias, slope, mean, inv_std;
    Tensor slope_or_none() const { return slope.defined() ? slope.get() : Tensor(); }
  };
  const SavedInputs saved{save_if(needs_any, x, "batch_norm", "x"),
                          save_if(needs_any, weight.value(), "batch_norm", "weight"),
                          save_if(needs_any, bias.value(), "batch_norm", "bias"),
                          save_if(needs_any && slope.defined(), value_or_none(slope), "batch_norm", "slope"),
                          save_if(needs_any, mean, "batch_norm", "mean"),
                          save_if(needs_any, inv_std, "batch_norm", "inv_std")};
  Recipe recipe;
  if (needs_any && !residual.defined()) {
    recipe = [saved] {
      const Tensor input = saved.x.get();
      Tensor result = Tensor::empty_like(input);
      backend_of(input).batch_norm_apply(input, saved.weight.get(), saved.bias.get(), saved.slope_or_none(),
                                         Tensor(), saved.mean.get(), saved.inv_std.get(), result);
      return result;
    };
  }
  Communicator* ranks = batch ? &batch->ranks() : nullptr;
  return record(
      "batch_norm", std::move(y), {x, weight, bias, slope, residual},
      [=](const Tensor& dy) -> std::vector<Tensor> {
        Tensor dx, dw, db, dslope;
        if (needs_any) {
          const Tensor input = saved.x.get(), w = saved.weight.get(), b = saved.bias.get(),
                       a = saved.slope_or_none(), mu = saved.mean.get(), r = saved.inv_std.get();
          const Tensor pending = needs_dx ? take_pending_gradient(0) : Tensor();
          if (needs_dx) dx = pending.defined() ? pending : Tensor::empty_like(dy);
          dw = parameter_gradient_if(needs_dw, w.shape(), dy);
          db = parameter_gradient_if(needs_db, w.shape(), dy);
          dslope = parameter_gradient_if(needs_dslope, w.shape(), dy);
          Backend& on = backend_of(dy);
          if (ranks && needs_dx) {
            Tensor sums = Tensor::empty({3, dy.dim(-1)}, DType::float64, dy.device());
            on.batch_norm_backward_sums(input, w, b, a, mu, r, dy, sums, dw, db, dslope);
            ranks->all_reduce(sums);
            on.batch_norm_backward_apply(input, w, b, a, mu, r, dy, sums, pending, dx);
          } else {
            on.batch_norm_backward(input, w, b, a, mu, r, dy, pending, dx, dw, db, dslope);
          }
        }
        return {dx, dw, db, dslope, needs_dresidual ? dy : Tensor()};
      },
      std::move(recipe));
}

Variable batch_norm_eval(const Variable& x, const Variable& weight, const Variable& bias,
                         const Tensor& running_mean, const Tensor& running_var, double eps) {
  check("batch_norm_eval", value_or_none(x), value_or_none(weight), value_or_none(bias), running_mean,
        running_var);
  Tensor y = Tensor::empty_like(x.value());
  backend_of(y).batch_norm_eval_forward(x.value(), weight.value(), bias.value(), running_mean, running_var,
                                        eps, y);
  const bool needs_dx = needs_gradient(x), needs_dw = needs_gradient(weight), needs_db = needs_gradient(bias);
  const bool needs_any = needs_dx || needs_dw || needs_db;
  return record(
      {"batch_norm_eval", {{"running_mean", &running_mean}, {"running_var", &running_var}, {"eps", eps}}},
      std::move(y), {x, weight, bias},
      [needs_dx, needs_dw, needs_db, eps, x_saved = save_if(needs_dw, x, "batch_norm_eval", "x"),
       weight_saved = save_if(needs_any, weight.value(), "batch_norm_eval", "weight"),
       mean_saved = save_if(needs_any, running_mean, "batch_norm_eval", "running_mean"),
       var_saved = save_if(needs_any, running_var, "batch_norm_eval", "running_var")](
          const Tensor& dy) -> std::vector<Tensor> {
        const Tensor& w = weight_saved.get();
        Tensor dx = empty_if(needs_dx, dy.shape(), dy);
        Tensor dw = parameter_gradient_if(needs_dw, w.shape(), dy);
        Tensor db = parameter_gradient_if(needs_db, w.shape(), dy);
        // Only dweight reads x; without it, dy stands in for the x that was not kept.
        backend_of(dy).batch_norm_eval_backward(needs_dw ? x_saved.get() : dy, w, mean_saved.get(),
                                                var_saved.get(), eps, dy, dx, dw, db);
        return {dx, dw, db};
      });
}

}  // namespace fer
