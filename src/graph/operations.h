// How each operation of a graph is run.
#pragma once

#include <string_view>
#include <vector>

#include "fer/graph/graph.h"
#include "fer/tensor/backend.h"

namespace fer {

/// Computes the output of a node, with the shape and type that the graph gives it. An undefined tensor stands
/// for an omitted input.
using RunOperation = Tensor (*)(const GraphNode& node, const std::vector<Tensor>& inputs, const Shape& shape,
                                DType dtype);

Conv2dOptions conv2d_options(const GraphNode& node);

/// GraphError, naming the node, if the operation is unknown. The Executor itself runs convolutions and linear
/// layers with packed weights.
RunOperation operation_of(const GraphNode& node);

}  // namespace fer
