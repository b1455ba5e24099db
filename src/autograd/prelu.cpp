// PReLU, y = x where x > 0, else slope[c] x:
//   dx = dy [x > 0] + dy slope[c] [x <= 0],  dslope[c] = sum over rows of dy x [x <= 0]
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

Variable prelu(const Variable& x, const Variable& slope) {
  check_operands("prelu", {{"x", value_or_none(x)}, {"slope", value_or_none(slope), parameter}});
  check_shape("prelu", {"slope", slope.value()}, {x.shape().channels()}, "the channels of x ", x.shape());
  Tensor y = Tensor::empty_like(x.value());
  backend_of(y).prelu_forward(x.value(), slope.value(), y);
  const bool needs_dx = needs_gradient(x), needs_dslope = needs_gradient(slope);
  const bool needs_any = needs_dx || needs_dslope;
  const Saved x_saved = save_if(needs_any, x, "prelu", "x"),
              slope_saved = save_if(needs_any, slope.value(), "prelu", "slope");
  return record(
      "prelu", std::move(y), {x, slope},
      [=](const Tensor& dy) -> std::vector<Tensor> {
        const Tensor xs = x_saved.get(), slopes = slope_saved.get();
        Tensor dx = needs_dx ? over(dy) : Tensor();
        Tensor dslope = parameter_gradient_if(needs_dslope, slopes.shape(), dy);
        backend_of(dy).prelu_backward(xs, slopes, dy, dx, dslope);
        return {dx, dslope};
      },
      [=] {
        const Tensor xs = x_saved.get();
        Tensor result = Tensor::empty_like(xs);
        backend_of(xs).prelu_forward(xs, slope_saved.get(), result);
        return result;
      });
}

}  // namespace fer
