// Converts a graph to ONNX nodes, operator set 17, float32 inside.
//
//   fer::OnnxModel model{.graph_name = "net"};
//   model.inputs = {{"x", {"N", 32, 32, 3}}};
//   model.outputs = {{"y", {"N", 10}}};
//   fer::append_onnx(graph, {"x"}, {"y"}, model);
#pragma once

#include <string>
#include <vector>

#include "fer/formats/onnx.h"
#include "fer/graph/graph.h"

namespace fer {

/// Adds the nodes and constants of `graph` to `model`. They read the values named `inputs` and produce those
/// named `outputs`, all in the graph's layout: maps are N x H x W x C. Inside, maps are N x C x H x W, as
/// ONNX's convolutions require. Nodes and constants are named after their modules. GraphError, naming the
/// node, for an operation that has no ONNX form.
void append_onnx(const Graph& graph, const std::vector<std::string>& inputs,
                 const std::vector<std::string>& outputs, OnnxModel& model);

}  // namespace fer
