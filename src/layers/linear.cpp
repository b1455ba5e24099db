#include "fer/layers/linear.h"

#include "fer/autograd/ops.h"

namespace fer {

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias, Init init) : in_(in), out_(out) {
  require<ConfigError>(in >= 1 && out >= 1, "Linear(", in, ", ", out, "): both widths start at 1");
  weight = register_parameter("weight", {out, in}, init);
  const Init bias_init = init == Init::uniform ? init : Init::zeros;
  if (with_bias) bias = register_parameter("bias", {out}, bias_init, /*fan_in=*/in);
}

std::string Linear::describe() const {
  return concat("Linear(", in_, ", ", out_, bias.defined() ? ")" : ", no bias)");
}

Variable Linear::forward(const Variable& x) {
  return linear(x, weight, bias);
}

Variable Linear::gelu(const Variable& x) {
  ModuleScope scope(name());
  return linear_gelu(x, weight, bias);
}

Variable Linear::plus(const Variable& x, const Variable& residual) {
  ModuleScope scope(name());
  return linear(x, weight, bias, residual);
}

}  // namespace fer
