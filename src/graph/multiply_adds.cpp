#include "fer/graph/multiply_adds.h"

namespace fer {
namespace {

std::int64_t multiply_adds_of(const Graph& graph, const GraphNode& node, std::int64_t images) {
  const auto shape = [&](std::size_t i) { return graph.value(node.inputs.at(i)).at(images); };
  const std::int64_t numbers = graph.value(node.output).at(images).numel();
  if (node.op == "conv2d" || node.op == "fused_conv2d") return numbers * shape(1).numel() / shape(1)[0];
  if (node.op == "linear" || node.op == "linear_gelu" || node.op == "fused_linear")
    return numbers * shape(1)[1];
  if (node.op == "matmul") return numbers * shape(0)[-1];
  if (node.op == "attention") return 2 * numbers * shape(1)[1];  // q k^T, and the product with v
  return 0;
}

}  // namespace

std::int64_t MultiplyAdds::total() const {
  return under("");
}

std::int64_t MultiplyAdds::under(std::string_view path) const {
  std::int64_t sum = 0;
  for (const auto& [module, macs] : by_module) {
    const bool inside = module.size() > path.size() && module[path.size()] == '.' && module.starts_with(path);
    if (path.empty() || module == path || inside) sum += macs;
  }
  return sum;
}

MultiplyAdds multiply_adds(const Graph& graph, std::int64_t images) {
  MultiplyAdds macs;
  for (const GraphNode& node : graph.nodes) {
    if (const std::int64_t count = multiply_adds_of(graph, node, images))
      macs.by_module[node.module] += count;
  }
  return macs;
}

}  // namespace fer
