#include "fer/autograd/variable.h"

#include <algorithm>
#include <atomic>

#include "autograd/engine.h"
#include "fer/autograd/profiler.h"
#include "fer/tensor/current_op.h"

namespace fer {
namespace {

thread_local bool recording = true;
thread_local Tracer* tracing = nullptr;
thread_local GradientListener* listening = nullptr;
// Shared by all threads, so that a node comes after the nodes that produced its inputs in any thread.
std::atomic<std::uint64_t> next_sequence = 0;

void check_differentiable(bool requires_grad, const Tensor& value, const std::string& name) {
  require<AutogradError>(!requires_grad || (value.defined() && is_floating(value.dtype())), "variable '",
                         name, "' of ", value.defined() ? name_of(value.dtype()) : "no value",
                         " cannot require a gradient");
}

}  // namespace

Variable::Variable(Tensor value, bool requires_grad, std::string name) : state_(std::make_shared<State>()) {
  check_differentiable(requires_grad, value, name);
  state_->value = std::move(value);
  state_->requires_grad = requires_grad;
  state_->name = std::move(name);
}

const Tensor& Variable::value() const {
  require<AutogradError>(defined(), "an undefined variable has no value");
  return state_->value;
}

Tensor& Variable::mutable_value() {
  require<AutogradError>(defined(), "an undefined variable has no value");
  state_->operand = Tensor();  // the value may be about to change
  return state_->value;
}

bool Variable::requires_grad() const {
  return defined() && state_->requires_grad;
}

void Variable::set_requires_grad(bool requires_grad) {
  require<AutogradError>(defined() && !state_->node, "only a leaf can change whether it requires a gradient");
  check_differentiable(requires_grad, state_->value, state_->name);
  state_->requires_grad = requires_grad;
}

const std::string& Variable::name() const {
  require<AutogradError>(defined(), "an undefined variable has no name");
  return state_->name;
}

void Variable::set_name(std::string name) {
  require<AutogradError>(defined(), "an undefined variable has no name");
  state_->name = std::move(name);
}

const Tensor& Variable::grad() const {
  require<AutogradError>(defined(), "an undefined variable has no gradient");
  return state_->grad;
}

Tensor& Variable::mutable_grad() {
  require<AutogradError>(defined(), "an undefined variable has no gradient");
  return state_->grad;
}

void Variable::zero_grad() {
  if (defined()) state_->grad = Tensor();
}

Variable Variable::detach() const {
  return Variable(value(), false, state_->name);
}

const std::shared_ptr<Node>& Variable::node() const {
  require<AutogradError>(defined(), "an undefined variable has no node");
  return state_->node;
}

Variable record(const Operation& operation, Tensor value, const std::vector<Variable>& inputs,
                BackwardFunction backward, Recipe recipe) {
  if (Profiler* profiler = Profiler::current()) {
    profiler->mark(std::string(operation.name), ModuleScope::path(), Profiler::Phase::forward);
  }
  set_current_op("");
  Variable result(std::move(value));
  if (Tracer* tracer = Tracer::current()) tracer->on_operation(operation, inputs, result);
  const bool needed =
      std::any_of(inputs.begin(), inputs.end(), [](const Variable& input) { return input.requires_grad(); });
  if (!recording || !needed) return result;
  auto node = std::make_shared<Node>();
  node->name = operation.name;
  node->module = ModuleScope::path();
  node->sequence = next_sequence++;
  node->inputs.reserve(inputs.size());
  for (const Variable& input : inputs) {
    Edge edge;
    if (input.defined()) {
      edge.shape = input.shape();
      edge.dtype = input.dtype();
      edge.device = input.device();
      edge.given = true;
    }
    if (input.requires_grad()) {
      edge.node = input.node();
      if (!edge.node) edge.leaf = input;
    }
    node->inputs.push_back(std::move(edge));
  }
  node->shape = result.shape();
  node->backward = std::move(backward);
  result.state_->requires_grad = true;
  result.state_->node = std::move(node);
  if (recipe) result.state_->recipe = std::make_shared<const Recipe>(std::move(recipe));
  return result;
}

Saved::Saved(const Tensor& tensor, std::string_view op, std::string_view name)
    : tensor_(tensor), version_(tensor.version()), op_(op), name_(name) {}

Saved::Saved(const Variable& x, std::string_view op, std::string_view name) {
  if (x.state_->recipe) {
    recipe_ = x.state_->recipe;
  } else {
    *this = Saved(x.value(), op, name);
  }
}

Tensor Saved::get() const {
  if (recipe_) return (*recipe_)();
  require<AutogradError>(tensor_.version() == version_, "[", op_, "] '", name_, "' of shape ",
                         tensor_.shape(), ", saved for backward, was changed in place since (version ",
                         version_, ", now ", tensor_.version(), "); change a clone() instead");
  return tensor_;
}

NoGrad::NoGrad() : before_(recording) {
  recording = false;
}
NoGrad::~NoGrad() {
  recording = before_;
}
EnableGrad::EnableGrad() : before_(recording) {
  recording = true;
}
EnableGrad::~EnableGrad() {
  recording = before_;
}
bool grad_enabled() {
  return recording;
}

Tracer::Tracer() {
  require<AutogradError>(tracing == nullptr, "a thread traces one function at a time");
  tracing = this;
}
Tracer::~Tracer() {
  tracing = nullptr;
}
Tracer* Tracer::current() {
  return tracing;
}

GradientListener::GradientListener() {
  require<AutogradError>(listening == nullptr, "a thread has one listener for gradients at a time");
  listening = this;
}
GradientListener::~GradientListener() {
  listening = nullptr;
}
GradientListener* GradientListener::current() {
  return listening;
}

}  // namespace fer
