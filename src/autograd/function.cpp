// User-defined functions on the tape. forward runs without recording, and backward gets forward's context.
#include "fer/autograd/function.h"

namespace fer {

FunctionContext::FunctionContext(std::string op, std::vector<bool> needs_gradient)
    : op_(std::move(op)), needs_gradient_(std::move(needs_gradient)) {}

void FunctionContext::save(const std::string& name, const Tensor& tensor) {
  saved_.insert_or_assign(name, Saved(tensor, op_, name));
}

Tensor FunctionContext::saved(const std::string& name) const {
  const auto entry = saved_.find(name);
  if (entry == saved_.end()) {
    std::string known;
    for (const auto& [other, tensor] : saved_) known += (known.empty() ? "'" : ", '") + other + "'";
    throw AutogradError(
        concat("[", op_, "] nothing was saved as '", name, "'; saved: ", known.empty() ? "nothing" : known));
  }
  return entry->second.get();
}

bool FunctionContext::needs_gradient(std::size_t i) const {
  require<AutogradError>(i < needs_gradient_.size(), "[", op_, "] has ", needs_gradient_.size(),
                         " inputs, none of index ", i);
  return needs_gradient_[i];
}

Variable apply(std::shared_ptr<Function> function, const std::vector<Variable>& inputs) {
  require<AutogradError>(function != nullptr, "apply: there is no function");
  const std::string name = function->name();
  std::vector<Tensor> values;
  std::vector<bool> needs;
  for (const Variable& input : inputs) {
    values.push_back(input.defined() ? input.value() : Tensor());
    needs.push_back(grad_enabled() && input.requires_grad());
  }
  auto context = std::make_shared<FunctionContext>(name, std::move(needs));
  Tensor y;
  {
    NoGrad no_grad;
    y = function->forward(*context, values);
  }
  require<AutogradError>(y.defined(), "[", name, "] forward gave no tensor");
  return record({name, {{"function", &function}}}, std::move(y), inputs,
                [function, context](const Tensor& dy) { return function->backward(*context, dy); });
}

}  // namespace fer
