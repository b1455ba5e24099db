#include "fer/models/info.h"

#include <algorithm>

#include "fer/graph/multiply_adds.h"
#include "fer/graph/passes.h"
#include "fer/graph/trace.h"
#include "models/evaluation_scope.h"

namespace fer {
namespace {

/// One image of the model's type, on its device.
Tensor blank_image(const Module& model, std::int64_t size) {
  const Variable like = model.named_parameters().front().variable;
  return Tensor::empty({1, size, size, 3}, like.dtype(), like.device());
}

std::vector<ModuleInfo> table(Module& model, const MultiplyAdds& macs) {
  std::vector<ModuleInfo> rows;
  for (const auto& [path, module] : model.named_modules()) {
    const int depth = path.empty() ? 0 : 1 + static_cast<int>(std::count(path.begin(), path.end(), '.'));
    rows.push_back({path, module->describe(), depth, module->parameter_count(), macs.under(path)});
  }
  return rows;
}

}  // namespace

std::vector<ModuleInfo> describe_model(Module& model, const TensorFunction& forward, std::int64_t image_size,
                                       bool optimised) {
  const EvaluationScope evaluation(model);
  Graph graph = trace(forward, {blank_image(model, image_size)});
  graph.remove_unused();
  if (optimised) optimise(graph);
  return table(model, multiply_adds(graph));
}

std::vector<ModuleInfo> describe_model(Network& model, bool optimised) {
  return describe_model(
      model, [&](const std::vector<Variable>& in) { return std::vector{model(in[0]).scores}; },
      model.config().image_size, optimised);
}

}  // namespace fer
