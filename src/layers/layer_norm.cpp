#include "fer/layers/layer_norm.h"

#include "fer/autograd/ops.h"

namespace fer {

LayerNorm::LayerNorm(std::int64_t channels, double eps)
    : weight(register_parameter("weight", {channels}, Init::ones)),
      bias(register_parameter("bias", {channels}, Init::zeros)),
      channels_(channels),
      eps_(eps) {}

std::string LayerNorm::describe() const {
  return concat("LayerNorm(", channels_, ")");
}

Variable LayerNorm::forward(const Variable& x) {
  return layer_norm(x, weight, bias, eps_);
}

}  // namespace fer
