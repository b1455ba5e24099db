#include "fer/layers/checkpoint.h"

#include "fer/autograd/global_batch.h"
#include "fer/tensor/random.h"

namespace fer {
namespace {

thread_local bool recomputing = false;

/// While alive, marks this thread as running something a second time.
class RecomputeScope {
 public:
  RecomputeScope() : before_(recomputing) { recomputing = true; }
  ~RecomputeScope() { recomputing = before_; }
  RecomputeScope(const RecomputeScope&) = delete;
  RecomputeScope& operator=(const RecomputeScope&) = delete;

 private:
  bool before_;
};

struct SavedInput {
  Saved value;
  bool requires_grad = false;
};

std::vector<Tensor> recompute(const CheckpointedFunction& f, const std::vector<SavedInput>& saved,
                              const RandomKey& random, const Tensor& dy) {
  // The leaves of a separate graph. Parameters inside f receive their gradients directly from its backward.
  std::vector<Variable> inputs;
  inputs.reserve(saved.size());
  for (const SavedInput& input : saved) {
    inputs.push_back(input.value.defined() ? Variable(input.value.get(), input.requires_grad) : Variable());
  }
  Variable y;
  {
    EnableGrad enable_grad;
    RecomputeScope recompute_scope;
    RandomScope random_scope(random.seed, random.index);
    y = f(inputs);
  }
  if (y.requires_grad()) y.backward(dy);
  std::vector<Tensor> gradients;
  gradients.reserve(inputs.size());
  for (Variable& input : inputs) {
    gradients.push_back(input.requires_grad() ? std::move(input.mutable_grad()) : Tensor());
  }
  return gradients;
}

}  // namespace

bool is_recomputing() {
  return recomputing;
}

Variable checkpoint(const CheckpointedFunction& f, const std::vector<Variable>& inputs) {
  if (!grad_enabled()) return f(inputs);
  std::vector<SavedInput> saved;
  std::vector<Variable> detached;
  for (const Variable& input : inputs) {
    detached.push_back(input.defined() ? input.detach() : input);
    saved.push_back(
        {input.defined() ? Saved(input.value(), "checkpoint", "input") : Saved(), input.requires_grad()});
  }
  const RandomKey random = RandomScope::key(0);
  const GlobalBatch* batch = GlobalBatch::current();
  Tensor y;
  {
    NoGrad no_grad;
    RandomScope random_scope(random.seed, random.index);
    y = f(detached).value();
  }
  // f may use parameters that require gradients even if no input does (an image). An extra input that
  // requires gradients makes sure that the node is recorded.
  std::vector<Variable> edges = inputs;
  edges.emplace_back(Tensor::scalar(0.0, y.dtype(), y.device()), /*requires_grad=*/true, "checkpoint");
  return record("checkpoint", std::move(y), edges,
                [f, saved = std::move(saved), random, batch](const Tensor& dy) -> std::vector<Tensor> {
                  require<AutogradError>(GlobalBatch::current() == batch,
                                         "[checkpoint] backward must run in the GlobalBatch of forward");
                  std::vector<Tensor> gradients = recompute(f, saved, random, dy);
                  gradients.emplace_back();
                  return gradients;
                });
}

}  // namespace fer
