// Traces a function into a graph.
#pragma once

#include <functional>
#include <vector>

#include "fer/autograd/variable.h"
#include "fer/graph/graph.h"

namespace fer {

using TensorFunction = std::function<std::vector<Variable>(const std::vector<Variable>&)>;

/// The operations of f on inputs with the shapes and types of `like`. Their first extent is the number of
/// images, which may differ when the graph runs. f is called twice, under NoGrad and ShapesOnly: nothing is
/// computed, and f must not read values. Variables that no operation of f produced (the weights) become
/// constants with their current values. GraphError if f's operations depend on the number of images, or if
/// one of them belongs to training.
Graph trace(const TensorFunction& f, const std::vector<Tensor>& like);

}  // namespace fer
