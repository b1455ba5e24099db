// Activations and other functions of one number, dx = dy f'(x):
//   relu:     f' = [x > 0], read from the sign of y
//   gelu:     f = x Phi(x),  f' = Phi(x) + x phi(x)
//   sigmoid:  f' = y (1 - y)
//   exp:      f' = y
//   log:      f' = 1 / x
//   sqrt:     f' = 1 / (2 y)
//   abs:      f' = sign(x)
// Each keeps one tensor for backward: y where the derivative is a function of y, because the next operation
// usually keeps y anyway. The others keep x and recompute y from it.
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

Variable activation(UnaryOp kind, std::string_view op, const Variable& x) {
  check_operands(op, {{"x", value_or_none(x)}});
  Tensor y = Tensor::empty_like(x.value());
  backend_of(y).activation_forward(kind, x.value(), y);
  const bool keeps_input = kind == UnaryOp::gelu || kind == UnaryOp::log || kind == UnaryOp::abs;
  const Saved saved =
      keeps_input ? save_if(needs_gradient(x), x, op, "x") : save_if(needs_gradient(x), y, op, "y");
  Recipe recipe;
  if (keeps_input) {
    recipe = [kind, saved] {
      const Tensor xs = saved.get();
      Tensor result = Tensor::empty_like(xs);
      backend_of(xs).activation_forward(kind, xs, result);
      return result;
    };
  }
  return record(
      op, std::move(y), {x},
      [kind, saved](const Tensor& dy) -> std::vector<Tensor> {
        // The backend reads only x or only y, depending on the derivative. relu needs only the sign, which x
        // and y share.
        const Tensor x_or_y = saved.get();
        Tensor dx = over(dy);
        backend_of(dy).activation_backward(kind, x_or_y, x_or_y, dy, dx);
        return {dx};
      },
      std::move(recipe));
}

}  // namespace

Variable relu(const Variable& x) {
  return activation(UnaryOp::relu, "relu", x);
}

Variable gelu(const Variable& x) {
  return activation(UnaryOp::gelu, "gelu", x);
}

Variable sigmoid(const Variable& x) {
  return activation(UnaryOp::sigmoid, "sigmoid", x);
}

Variable exp(const Variable& x) {
  return activation(UnaryOp::exp, "exp", x);
}

Variable log(const Variable& x) {
  return activation(UnaryOp::log, "log", x);
}

Variable sqrt(const Variable& x) {
  return activation(UnaryOp::sqrt, "sqrt", x);
}

Variable abs(const Variable& x) {
  return activation(UnaryOp::abs, "abs", x);
}

}  // namespace fer
