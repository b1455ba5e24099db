#include "fer/layers/batch_norm.h"

#include "fer/autograd/ops.h"
#include "fer/layers/checkpoint.h"

namespace fer {

BatchNorm::BatchNorm(std::int64_t channels, double eps, double momentum)
    : weight(register_parameter("weight", {channels}, Init::ones)),
      bias(register_parameter("bias", {channels}, Init::zeros)),
      running_mean(register_buffer("running_mean", {channels}, 0.0)),
      running_var(register_buffer("running_var", {channels}, 1.0)),
      channels_(channels),
      eps_(eps),
      momentum_(momentum) {}

std::string BatchNorm::describe() const {
  return concat("BatchNorm(", channels_, ")");
}

Variable BatchNorm::forward(const Variable& x) {
  return forward(x, {}, {});
}

Variable BatchNorm::forward(const Variable& x, const Variable& slope, const Variable& residual) {
  if (!is_training()) {
    Variable y = batch_norm_eval(x, weight, bias, running_mean, running_var, eps_);
    if (slope.defined()) y = prelu(y, slope);
    return residual.defined() ? fer::add(y, residual) : y;
  }
  if (!is_recomputing())
    return batch_norm(x, weight, bias, running_mean, running_var, momentum_, eps_, slope, residual);
  // The statistics include this batch already, so the second run updates copies that are discarded.
  Tensor mean = running_mean.clone(), var = running_var.clone();
  return batch_norm(x, weight, bias, mean, var, momentum_, eps_, slope, residual);
}

}  // namespace fer
