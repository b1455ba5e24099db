// The walk from an output back to the leaves.
#pragma once

#include "fer/autograd/variable.h"

namespace fer {

struct Variable::State {
  Tensor value;
  Tensor grad;
  bool requires_grad = false;
  std::string name;
  std::shared_ptr<Node> node;
  std::shared_ptr<const Recipe> recipe;  ///< null: the value itself is kept
  Tensor operand;                        ///< the value in the form that products read, shared by them
};

class Engine {
 public:
  static void run(const Variable& output, const Tensor& cotangent, bool retain_graph);
  /// product_operand(x.value()). If x is the result of an operation, it is converted once and shared by all
  /// products.
  static Tensor operand(const Variable& x);

 private:
  static void deliver(const Edge& input, Tensor gradient, const Node& from, class PendingGradients& pending);
};

}  // namespace fer
