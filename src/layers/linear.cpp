#include "fer/layers/linear.h"

#include "fer/autograd/ops.h"
#include "fer/layers/mac_counter.h"

namespace fer {

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias) : in_(in), out_(out) {
  require<ConfigError>(in >= 1 && out >= 1, "Linear(", in, ", ", out, "): both widths start at 1");
  weight = register_parameter("weight", {out, in}, Init::xavier);
  if (with_bias) bias = register_parameter("bias", {out}, Init::zeros);
}

std::string Linear::describe() const {
  return concat("Linear(", in_, ", ", out_, bias.defined() ? ")" : ", no bias)");
}

Variable Linear::forward(const Variable& x) {
  const bool gradients =
      grad_enabled() && (x.requires_grad() || weight.requires_grad() || bias.requires_grad());
  // Only on the CPU: a forward pass that a GPU replays must read the weight itself, whatever it has become.
  const bool packs = x.device() == Device::cpu && weight.device() == Device::cpu;
  const bool fits = x.rank() >= 1 && x.dim(-1) == in_ && x.dtype() == weight.dtype();
  if (packs && fits && !is_training() && !gradients) return prepared().rows(x);
  Variable y = linear(x, weight, bias);
  MacCounter::add(y.shape().numel() * in_);
  return y;
}

void Linear::train(bool mode) {
  Module::train(mode);
  if (!mode) return;
  prepared_ = {};
  prepared_from_ = {};
}

const PreparedConv2d& Linear::prepared() {
  if (!prepared_from_.is_current()) {
    prepared_ = PreparedConv2d({.name = name(),
                                .weight = weight.value().reshape({out_, 1, 1, in_}),
                                .bias = bias.defined() ? bias.value() : Tensor()});
    prepared_from_ = Snapshot(*this);
  }
  return prepared_;
}

// The CPU's products have no such end: there, both are what they are made of.
Variable Linear::gelu(const Variable& x) {
  if (x.device() == Device::cpu) return fer::gelu((*this)(x));
  ModuleScope scope(name());
  Variable y = linear_gelu(x, weight, bias);
  MacCounter::add(y.shape().numel() * in_);
  return y;
}

Variable Linear::plus(const Variable& x, const Variable& residual) {
  if (x.device() == Device::cpu) return fer::add((*this)(x), residual);
  ModuleScope scope(name());
  Variable y = linear(x, weight, bias, residual);
  MacCounter::add(y.shape().numel() * in_);
  return y;
}

}  // namespace fer
