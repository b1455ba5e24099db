// How each operation of a graph is run.
#pragma once

#include <string_view>
#include <vector>

#include "fer/graph/graph.h"

namespace fer {

/// The output of a node, of the shape and type that the graph gives it. An undefined tensor stands for an
/// input that was left out.
using RunOperation = Tensor (*)(const GraphNode& node, const std::vector<Tensor>& inputs, const Shape& shape,
                                DType dtype);

/// GraphError, naming the node, if nothing is known of its operation. Convolutions and linear layers with
/// packed weights are the Executor's own.
RunOperation operation_of(const GraphNode& node);

}  // namespace fer
