// Backward takes nodes from a heap by descending sequence number. A node is always recorded after the nodes
// that produced its inputs, so all gradients of its output have arrived when it is taken. The order, and so
// every rounding error, is the same in each run.
#include "autograd/engine.h"

#include <queue>
#include <unordered_map>
#include <utility>

#include "fer/autograd/profiler.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/current_op.h"
#include "fer/tensor/precision.h"

namespace fer {

/// Gradients whose node has not run yet, and a queue of these nodes in the order in which they will run.
class PendingGradients {
 public:
  void add(const std::shared_ptr<Node>& node, Tensor gradient) {
    auto [entry, is_new] = sums_.try_emplace(node.get());
    if (is_new) turns_.push(node);
    accumulate(entry->second, std::move(gradient));
  }

  bool empty() const { return turns_.empty(); }

  std::pair<std::shared_ptr<Node>, Tensor> pop() {
    std::shared_ptr<Node> node = turns_.top();
    turns_.pop();
    auto entry = sums_.extract(node.get());
    return {std::move(node), std::move(entry.mapped())};
  }

  /// Takes the gradient accumulated for `node` if nothing else holds it. The node keeps its place in the
  /// queue.
  Tensor take(Node* node) {
    const auto entry = sums_.find(node);
    if (entry == sums_.end() || !entry->second.defined() || !entry->second.sole_owner()) return {};
    return std::exchange(entry->second, Tensor());
  }

  /// sum += gradient. The first gradient is stored without a copy. Memory that others may still read is never
  /// written.
  static void accumulate(Tensor& sum, Tensor gradient) {
    if (!sum.defined()) {
      sum = std::move(gradient);
    } else if (sum.sole_owner()) {
      backend_of(sum).accumulate(gradient, 1.0, sum);
    } else if (gradient.sole_owner()) {
      backend_of(sum).accumulate(sum, 1.0, gradient);
      sum = std::move(gradient);
    } else {
      Tensor total = Tensor::empty_like(sum);
      backend_of(sum).binary(BinaryOp::add, sum, gradient, total);
      sum = std::move(total);
    }
  }

 private:
  struct Earlier {
    bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
      return a->sequence < b->sequence;
    }
  };
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, Earlier> turns_;
  std::unordered_map<Node*, Tensor> sums_;
};

namespace {

/// The node whose backward function runs in this thread; take_pending_gradient() reads it.
struct Running {
  PendingGradients* pending = nullptr;
  const Node* node = nullptr;
};
thread_local Running running;

/// Restores the previous value, because the backward function of a checkpoint runs another graph in between.
class RunningScope {
 public:
  RunningScope(PendingGradients& pending, const Node& node)
      : before_(std::exchange(running, {&pending, &node})) {}
  ~RunningScope() { running = before_; }
  RunningScope(const RunningScope&) = delete;
  RunningScope& operator=(const RunningScope&) = delete;

 private:
  Running before_;
};

}  // namespace

Tensor take_pending_gradient(std::size_t input) {
  require<AutogradError>(running.node != nullptr, "take_pending_gradient: no backward function is running");
  return running.pending->take(running.node->inputs.at(input).node.get());
}

Tensor Engine::operand(const Variable& x) {
  // A leaf gets no cached operand: it can be written to, and may outlive the step.
  if (!x.state_->node) return product_operand(x.value());
  Tensor& operand = x.state_->operand;
  if (!operand.defined()) {
    operand = product_operand(x.value());
    if (operand.shares_memory_with(x.value())) return std::exchange(operand, Tensor());
  }
  return operand;
}

void Engine::deliver(const Edge& input, Tensor gradient, const Node& from, PendingGradients& pending) {
  require<ShapeError>(gradient.shape() == input.shape, "[", from.name, "] backward gave a gradient of shape ",
                      gradient.shape(), " for an input of shape ", input.shape);
  require<TypeError>(gradient.dtype() == input.dtype && gradient.device() == input.device, "[", from.name,
                     "] backward gave a gradient of ", gradient.dtype(), " on ", gradient.device(),
                     " for an input of ", input.dtype, " on ", input.device);
  if (input.node) {
    pending.add(input.node, std::move(gradient));
  } else {
    Tensor& grad = input.leaf.state_->grad;
    // A leaf's gradient must never share memory with something the graph still uses.
    if (!grad.defined() && !gradient.sole_owner()) gradient = gradient.clone();
    PendingGradients::accumulate(grad, std::move(gradient));
    if (GradientListener* listener = GradientListener::current()) listener->on_gradient(input.leaf);
  }
}

void Engine::run(const Variable& output, const Tensor& cotangent, bool retain_graph) {
  require<AutogradError>(output.requires_grad(),
                         "backward: this variable does not depend on anything that requires a gradient");
  Tensor seed = cotangent;
  if (!seed.defined()) {
    require<AutogradError>(output.value().numel() == 1, "backward: a result of shape ", output.shape(),
                           " needs a cotangent; only a scalar has the default of 1");
    seed = Tensor::full(output.shape(), 1.0, output.dtype(), output.device());
  }
  require<ShapeError>(seed.shape() == output.shape(), "backward: the cotangent has shape ", seed.shape(),
                      ", the result ", output.shape());
  require<TypeError>(seed.dtype() == output.dtype() && seed.device() == output.device(),
                     "backward: the cotangent is ", seed.dtype(), " on ", seed.device(), ", the result ",
                     output.dtype(), " on ", output.device());
  NoGrad no_grad;
  if (!output.node()) {
    PendingGradients::accumulate(output.state_->grad, seed.clone());
    return;
  }
  PendingGradients pending;
  pending.add(output.node(), std::move(seed));
  while (!pending.empty()) {
    auto [node, dy] = pending.pop();
    require<AutogradError>(static_cast<bool>(node->backward), "backward: the graph through [", node->name,
                           "] was freed by an earlier backward call; pass retain_graph to keep it");
    std::vector<Tensor> gradients;
    {
      ModuleScope scope(node->module);
      RunningScope running_scope(pending, *node);
      set_current_op(node->name, /*backward=*/true);
      gradients = node->backward(dy);
      set_current_op("");
    }
    dy = Tensor();
    require<AutogradError>(gradients.size() == node->inputs.size(), "[", node->name, "] backward gave ",
                           gradients.size(), " gradients for ", node->inputs.size(), " inputs");
    if (!retain_graph) node->backward = nullptr;  // frees what it saved
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined() || !node->inputs[i].needs_gradient()) continue;
      deliver(node->inputs[i], std::move(gradients[i]), *node, pending);
    }
    if (Profiler* profiler = Profiler::current()) {
      profiler->mark(node->name, node->module, Profiler::Phase::backward);
    }
  }
}

void Variable::backward(const Tensor& cotangent, bool retain_graph) const {
  require<AutogradError>(defined(), "backward: the variable is undefined");
  Engine::run(*this, cotangent, retain_graph);
}

Node::~Node() {
  // Destroying a chain of a million nodes must not recurse a million times. Nodes that have no other owner
  // are taken apart one after the other.
  std::vector<Edge> doomed = std::move(inputs);
  while (!doomed.empty()) {
    const std::shared_ptr<Node> node = std::move(doomed.back().node);
    doomed.pop_back();
    if (!node || node.use_count() > 1) continue;
    for (Edge& input : node->inputs) doomed.push_back(std::move(input));
    node->inputs.clear();
  }
}

}  // namespace fer
