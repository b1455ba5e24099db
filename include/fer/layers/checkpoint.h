// Gradient checkpointing: the activations of a part of the model are not kept for backward but recomputed
// there. It saves memory and costs one more forward pass of that part.
//
//   y = fer::checkpoint([&](const auto& in) { return stage(in[0]); }, {x});
#pragma once

#include <functional>
#include <vector>

#include "fer/autograd/variable.h"

namespace fer {

using CheckpointedFunction = std::function<Variable(const std::vector<Variable>&)>;

/// f(inputs), keeping only `inputs` and the result. Backward runs f again with the same random numbers and
/// module path; batch norms update their running statistics only the first time. Gradients of parameters
/// inside f are accumulated as usual. `f` must live as long as the graph. With gradients disabled, it just
/// calls f.
Variable checkpoint(const CheckpointedFunction& f, const std::vector<Variable>& inputs);

/// Whether this thread is inside such a second run.
bool is_recomputing();

}  // namespace fer
