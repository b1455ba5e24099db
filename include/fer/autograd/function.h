// Function: a user-defined operation, differentiated like the built-in ones.
//
//   struct Square : fer::Function {
//     std::string name() const override { return "square"; }
//     fer::Tensor forward(fer::FunctionContext& context, const std::vector<fer::Tensor>& x) override {
//       context.save("x", x[0]);
//       ... return y;
//     }
//     std::vector<fer::Tensor> backward(fer::FunctionContext& context, const fer::Tensor& dy) override {
//       const fer::Tensor& x = context.saved("x");
//       ... return {dx};
//     }
//   };
//   fer::Variable y = fer::apply(std::make_shared<Square>(), {x});
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fer/autograd/variable.h"

namespace fer {

/// Carries tensors from forward to backward, guarded against changes in between.
class FunctionContext {
 public:
  explicit FunctionContext(std::string op, std::vector<bool> needs_gradient);
  void save(const std::string& name, const Tensor& tensor);
  /// AutogradError if nothing was saved under that name, or if the tensor was changed in place since.
  Tensor saved(const std::string& name) const;
  /// Whether backward must fill in the gradient of input i.
  bool needs_gradient(std::size_t i) const;

 private:
  std::string op_;
  std::vector<bool> needs_gradient_;
  std::map<std::string, Saved> saved_;
};

class Function {
 public:
  virtual ~Function() = default;
  virtual std::string name() const = 0;
  virtual Tensor forward(FunctionContext& context, const std::vector<Tensor>& inputs) = 0;
  /// One gradient per input; an undefined tensor means zero.
  virtual std::vector<Tensor> backward(FunctionContext& context, const Tensor& dy) = 0;
};

/// Runs `function` on `inputs` and records it.
Variable apply(std::shared_ptr<Function> function, const std::vector<Variable>& inputs);

}  // namespace fer
