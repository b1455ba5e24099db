// Linear layer on rows, y = x W^T + b + residual:
//   dx = dy W,  dW = dy^T x,  db = column sums of dy,  dresidual = dy.
// Followed by GELU, y = gelu(z): z is kept, and the formulas hold with dz = dy gelu'(z) instead of dy.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"
#include "fer/tensor/precision.h"

namespace fer {

using namespace detail;

namespace {

/// The shape of y.
Shape check(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& bias,
            const Tensor& residual) {
  check_operands(op, {{"x", x}, {"weight", weight, parameter}},
                 {{"bias", bias, parameter}, {"residual", residual}});
  check_rank(op, {"weight", weight}, 2, "O x I");
  require<ShapeError>(x.rank() >= 1 && x.dim(-1) == weight.dim(1), "[", op, "] x of shape ", x.shape(),
                      " has ", x.shape().channels(), " columns, weight of shape ", weight.shape(), " takes ",
                      weight.dim(1));
  if (bias.defined()) check_shape(op, {"bias", bias}, {weight.dim(0)}, "the rows of weight ", weight.shape());
  Shape shape = x.shape();
  shape.set(-1, weight.dim(0));
  if (residual.defined())
    check_shape(op, {"residual", residual}, shape, "x ", x.shape(), " and weight ", weight.shape());
  return shape;
}

/// Holds what backward needs of a layer, and computes the gradients of x, weight and bias.
class LinearGradients {
 public:
  LinearGradients(std::string_view op, const Variable& x, const Variable& weight, const Variable& bias)
      : needs_dx_(needs_gradient(x)),
        needs_dw_(needs_gradient(weight)),
        needs_db_(needs_gradient(bias)),
        x_shape_(x.shape()),
        weight_shape_(weight.shape()),
        x_(save_operand(needs_dw_, x, op, "x")),
        weight_(save_if(needs_dx_, weight.value(), op, "weight")) {}

  std::vector<Tensor> operator()(const Tensor& dy) const {
    Tensor dx, dw = parameter_gradient_if(needs_dw_, weight_shape_, dy), db;
    const SharedOperand shared(dy);  // both products read it
    // dW first: if x is recomputed for it, that x is freed before dx is allocated.
    if (needs_dw_) {
      db = parameter_gradient_if(needs_db_, {weight_shape_[0]}, dy);
      backend_of(dy).linear_backward_weight(x_.get(), dy, dw, db);
    } else if (needs_db_) {  // the weight is frozen, the bias is not
      db = reduce_to_parameter(dy, {weight_shape_[0]});
    }
    if (needs_dx_) {
      dx = Tensor::empty_like(dy, x_shape_);
      backend_of(dy).linear_backward_input(dy, weight_.get(), dx);
    }
    return {dx, dw, db};
  }

 private:
  bool needs_dx_, needs_dw_, needs_db_;
  Shape x_shape_, weight_shape_;
  Saved x_, weight_;
};

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, const Variable& residual) {
  LinearEpilogue epilogue{.bias = value_or_none(bias), .residual = value_or_none(residual)};
  const Shape shape =
      check("linear", value_or_none(x), value_or_none(weight), epilogue.bias, epilogue.residual);
  Tensor y = Tensor::empty_like(x.value(), shape);
  const Tensor operand = product_operand(x);
  backend_of(y).linear_fused_forward(operand, weight.value(), epilogue, y);
  const LinearGradients gradients("linear", x, weight, bias);
  if (!residual.defined()) return record("linear", std::move(y), {x, weight, bias}, gradients);
  return record("linear", std::move(y), {x, weight, bias, residual},
                [gradients, needs_dr = needs_gradient(residual)](const Tensor& dy) {
                  std::vector<Tensor> all = gradients(dy);
                  all.push_back(needs_dr ? dy : Tensor());
                  return all;
                });
}

Variable linear_gelu(const Variable& x, const Variable& weight, const Variable& bias) {
  LinearEpilogue epilogue{.bias = value_or_none(bias), .gelu = true};
  const Shape shape = check("linear_gelu", value_or_none(x), value_or_none(weight), epilogue.bias, Tensor());
  const bool needs_any = needs_gradient(x) || needs_gradient(weight) || needs_gradient(bias);
  Tensor y = Tensor::empty_like(x.value(), shape);
  if (needs_any) epilogue.before_gelu = Tensor::empty_like(y);
  const Tensor operand = product_operand(x);
  backend_of(y).linear_fused_forward(operand, weight.value(), epilogue, y);
  const LinearGradients gradients("linear_gelu", x, weight, bias);
  const Saved z_saved = save_if(needs_any, epilogue.before_gelu, "linear_gelu", "the value before gelu");
  return record(
      "linear_gelu", std::move(y), {x, weight, bias},
      [=](const Tensor& dy) {
        const Tensor z = z_saved.get();
        Tensor dz = over(dy);
        backend_of(dy).activation_backward(UnaryOp::gelu, z, z, dy, dz);
        return gradients(dz);
      },
      [=] {
        const Tensor z = z_saved.get();
        Tensor result = Tensor::empty_like(z);
        backend_of(z).activation_forward(UnaryOp::gelu, z, result);
        return result;
      });
}

}  // namespace fer
