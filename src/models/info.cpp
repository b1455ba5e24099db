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

std::vector<ModuleInfo> describe_model(FERNet& model, const InfoOptions& options) {
  const EvaluationScope evaluation(model);
  Graph graph = trace(
      [&](const std::vector<Variable>& in) {
        FERNetTrace all_rows;
        all_rows.attention.full_last_block = true;
        return std::vector{model(in[0], options.full_last_block ? &all_rows : nullptr).scores};
      },
      {blank_image(model, model.config().image_size)});
  graph.remove_unused();
  if (options.optimised) optimise(graph);
  return table(model, multiply_adds(graph));
}

std::vector<ModuleInfo> describe_model(MobileFaceNet& model, std::int64_t image_size) {
  const EvaluationScope evaluation(model);
  const Graph graph = trace(
      [&](const std::vector<Variable>& in) {
        const Variable f_lm = model.features(in[0]);
        return std::vector{model.config().head ? model.landmarks(f_lm) : f_lm};
      },
      {blank_image(model, image_size)});
  return table(model, multiply_adds(graph));
}

}  // namespace fer
