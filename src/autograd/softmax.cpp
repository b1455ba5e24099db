// Softmax and log softmax over the last dimension. Backward needs only the result y:
//   softmax:      dx = y (dy - sum_j dy_j y_j)
//   log_softmax:  dx = dy - exp(y) sum_j dy_j
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

Variable softmax(std::string_view op, bool log, const Variable& x) {
  check_operands(op, {{"x", value_or_none(x)}});
  require<ShapeError>(x.rank() >= 1, "[", op, "] x needs a dimension to sum over, got shape ", x.shape());
  Tensor y = Tensor::empty_like(x.value());
  backend_of(y).softmax_forward(x.value(), log, y);
  Saved y_saved = save_if(needs_gradient(x), y, op, "y");
  return record(op, std::move(y), {x}, [log, y_saved](const Tensor& dy) -> std::vector<Tensor> {
    Tensor dx = Tensor::empty_like(dy);
    backend_of(dy).softmax_backward(y_saved.get(), dy, log, dx);
    return {dx};
  });
}

}  // namespace

Variable softmax(const Variable& x) {
  return softmax("softmax", false, x);
}

Variable log_softmax(const Variable& x) {
  return softmax("log_softmax", true, x);
}

}  // namespace fer
