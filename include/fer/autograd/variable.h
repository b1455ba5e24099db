// Variable and the tape: reverse-mode differentiation, define-by-run.
//
//   fer::Variable w(fer::Tensor::from<float>({3}, {1, 2, 3}), /*requires_grad=*/true, "w");
//   fer::Variable loss = fer::mean(fer::mul(w, w));
//   loss.backward();
//   w.grad();  // 2 w / 3
//
// An operation computes its value at once and, if an input needs a gradient, records a Node: its name, its
// inputs, and a function from the gradient of its output to the gradients of its inputs. backward() visits
// the nodes in reverse order of recording.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fer/autograd/operation.h"
#include "fer/tensor/tensor.h"

namespace fer {

struct Node;

/// Recomputes a value that is cheap to compute (a batch norm, an activation, a mask of dropout), so that it
/// need not be kept for backward. It reads only tensors that its operation saves anyway.
using Recipe = std::function<Tensor()>;

class Variable {
 public:
  Variable() = default;  ///< undefined: stands for "none" where an argument is optional
  /// A constant. The conversion is implicit, so that operations and layers accept tensors.
  Variable(Tensor value) : Variable(std::move(value), false) {}
  /// A leaf. Parameters are leaves that require gradients; `name` appears in errors and graphs.
  explicit Variable(Tensor value, bool requires_grad, std::string name = {});

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const;
  /// For changing a leaf in place (optimizers, loading). A later backward pass that needs a value saved
  /// before the change throws AutogradError.
  Tensor& mutable_value();
  const Shape& shape() const { return value().shape(); }
  std::int64_t dim(int i) const { return value().dim(i); }
  int rank() const { return value().rank(); }
  DType dtype() const { return value().dtype(); }
  Device device() const { return value().device(); }
  double item() const { return value().item(); }

  bool requires_grad() const;
  /// Leaves only: AutogradError for the result of an operation.
  void set_requires_grad(bool requires_grad);
  const std::string& name() const;
  void set_name(std::string name);

  /// The gradient summed over all backward calls since zero_grad(); undefined before the first one. Leaves
  /// only.
  const Tensor& grad() const;
  Tensor& mutable_grad();
  void zero_grad();

  /// Adds d(this)/d(leaf) to the gradient of every leaf that this depends on. Without a cotangent, this must
  /// have one element. Saved values are freed on the way unless `retain_graph` keeps them for another call.
  void backward(const Tensor& cotangent = {}, bool retain_graph = false) const;

  /// A constant with the same value, not connected to the graph.
  Variable detach() const;
  /// The node that produced this; null for leaves and under NoGrad.
  const std::shared_ptr<Node>& node() const;
  /// Identity of the underlying variable (copies of a Variable share it).
  const void* id() const { return state_.get(); }
  /// Expires with the last copy of this Variable.
  std::weak_ptr<const void> watch() const { return state_; }

 private:
  struct State;
  friend Variable record(const Operation&, Tensor, const std::vector<Variable>&,
                         std::function<std::vector<Tensor>(const Tensor&)>, Recipe);
  friend class Engine;
  friend class Saved;
  std::shared_ptr<State> state_;
};

/// Maps the gradient of a node's output to the gradients of its inputs, in order. An undefined tensor stands
/// for a zero gradient, or for an input that needs no gradient.
using BackwardFunction = std::function<std::vector<Tensor>(const Tensor& dy)>;

/// Where the gradient of an input goes: to the node that produced it, to a leaf, or (neither set) nowhere. It
/// does not hold the input's value; that stays alive only if backward saved it.
struct Edge {
  std::shared_ptr<Node> node;
  Variable leaf;
  Shape shape;
  DType dtype = DType::float32;
  Device device = Device::cpu;
  bool given = false;  ///< false: an optional input that was left out
  bool needs_gradient() const { return node || leaf.defined(); }
};

struct Node {
  std::string name;            ///< "conv2d"
  std::string module;          ///< path of the module that ran it
  std::uint64_t sequence = 0;  ///< order of recording
  std::vector<Edge> inputs;
  Shape shape;                ///< of the output, for messages
  BackwardFunction backward;  ///< empty after it has run and was freed

  ~Node();
};

/// Wraps the value of an operation. Records a node if gradients are enabled and an input requires one;
/// otherwise `backward` and everything that it holds are released at once. The Tracer, if any, is called in
/// either case. With a `recipe`, operations that need the value in backward keep the recipe instead.
Variable record(const Operation& operation, Tensor value, const std::vector<Variable>& inputs,
                BackwardFunction backward, Recipe recipe = {});

/// For use inside a BackwardFunction: takes the gradient accumulated so far for the node's input `input`. The
/// function must include it in the gradient that it returns. Undefined if there is none yet or if others may
/// still read it. If a kernel adds it while it writes its own gradient, this saves a pass over memory.
Tensor take_pending_gradient(std::size_t input);

/// A tensor saved for backward, or its recipe. get() throws AutogradError if the tensor, or a tensor that the
/// recipe reads, was written to in the meantime.
class Saved {
 public:
  Saved() = default;
  Saved(const Tensor& tensor, std::string_view op, std::string_view name);
  Saved(const Variable& x, std::string_view op, std::string_view name);
  Tensor get() const;
  bool defined() const { return tensor_.defined() || recipe_; }
  /// Whether get() recomputes the value.
  bool is_recipe() const { return recipe_ != nullptr; }

 private:
  Tensor tensor_;
  std::shared_ptr<const Recipe> recipe_;
  std::uint64_t version_ = 0;
  std::string op_, name_;
};

/// While alive, this thread records nothing (evaluation, optimizer steps).
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

/// While alive, this thread records again, inside a NoGrad (recomputation in backward).
class EnableGrad {
 public:
  EnableGrad();
  ~EnableGrad();
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  bool before_;
};

bool grad_enabled();

/// The graph that computes `output`, in Graphviz's language: operations (with the path of their module),
/// leaves and constants, edges labelled with shapes. The same graph gives the same text.
std::string graph_dot(const Variable& output);

}  // namespace fer
