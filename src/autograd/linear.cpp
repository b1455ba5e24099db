// Linear layer on rows, y = x W^T + b:  dx = dy W,  dW = dy^T x,  db = column sums of dy.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"
#include "fer/tensor/precision.h"

namespace fer {

using namespace detail;

namespace {

void check(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_operands("linear", {{"x", x}, {"weight", weight}}, {{"bias", bias}});
  check_rank("linear", {"weight", weight}, 2, "O x I");
  require<ShapeError>(x.rank() >= 1 && x.dim(-1) == weight.dim(1), "[linear] x of shape ", x.shape(), " has ",
                      x.shape().channels(), " columns, weight of shape ", weight.shape(), " takes ",
                      weight.dim(1));
  if (bias.defined()) {
    check_shape("linear", {"bias", bias}, {weight.dim(0)}, "the rows of weight ", weight.shape());
  }
}

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
  check(value_or_none(x), value_or_none(weight), value_or_none(bias));
  Shape shape = x.shape();
  shape.set(-1, weight.dim(0));
  Tensor y = Tensor::empty_like(x.value(), shape);
  const Tensor operand = product_operand(x);
  backend_of(y).linear_forward(operand, weight.value(), value_or_none(bias), y);
  const bool needs_dx = needs_gradient(x), needs_dw = needs_gradient(weight), needs_db = needs_gradient(bias);
  return record("linear", std::move(y), {x, weight, bias},
                [needs_dx, needs_dw, needs_db, sx = x.shape(), sw = weight.shape(),
                 x_saved = save_operand(needs_dw, x, "linear", "x"),
                 weight_saved = save_if(needs_dx, weight.value(), "linear", "weight")](
                    const Tensor& dy) -> std::vector<Tensor> {
                  Tensor dx = empty_if(needs_dx, sx, dy), dw = empty_if(needs_dw, sw, dy), db;
                  const SharedOperand shared(dy);  // by both products
                  if (needs_dx) backend_of(dy).linear_backward_input(dy, weight_saved.get(), dx);
                  if (needs_dw) {
                    db = empty_if(needs_db, {sw[0]}, dy);
                    backend_of(dy).linear_backward_weight(x_saved.get(), dy, dw, db);
                  } else if (needs_db) {  // a frozen weight under a trained bias
                    db = reduce_to(dy, {sw[0]});
                  }
                  return {dx, dw, db};
                });
}

}  // namespace fer
