// From a function to its graph.
#pragma once

#include <functional>
#include <vector>

#include "fer/autograd/variable.h"
#include "fer/graph/graph.h"

namespace fer {

using TensorFunction = std::function<std::vector<Variable>(const std::vector<Variable>&)>;

/// The operations of f on inputs like `like`, whose first extent is the number of images, in any number. f is
/// called twice, under NoGrad and ShapesOnly: nothing is computed, and f must not look at values. Variables
/// that no operation of f made become constants: the weights, as they are now.
/// GraphError if f's operations depend on the number of images, or if one of them belongs to training.
Graph trace(const TensorFunction& f, const std::vector<Tensor>& like);

}  // namespace fer
