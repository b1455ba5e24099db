#include "fer/models/info.h"

#include <algorithm>

namespace fer {
namespace {

/// Evaluation mode while alive.
class EvaluationScope {
 public:
  explicit EvaluationScope(Module& module) : module_(module), before_(module.is_training()) { module.eval(); }
  ~EvaluationScope() { module_.train(before_); }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  Module& module_;
  bool before_;
};

/// One image of zeros of the model's type, on its device.
Variable blank_image(const Module& model, std::int64_t size) {
  const Variable like = model.named_parameters().front().variable;
  return Variable(Tensor::zeros({1, size, size, 3}, like.dtype(), like.device()));
}

std::vector<ModuleInfo> table(Module& model, const MacCounter& macs) {
  std::vector<ModuleInfo> rows;
  for (const auto& [path, module] : model.named_modules()) {
    const int depth = path.empty() ? 0 : 1 + static_cast<int>(std::count(path.begin(), path.end(), '.'));
    rows.push_back({path, module->describe(), depth, module->parameter_count(), macs.under(path)});
  }
  return rows;
}

}  // namespace

std::vector<ModuleInfo> describe_model(FERNet& model, const InfoOptions& options) {
  EvaluationScope evaluation(model);
  NoGrad no_grad;
  const Variable image = blank_image(model, model.config().image_size);
  MacCounter macs;
  const Variable f_img = model.image_features(image);
  const Variable f_lm =
      options.prepared_landmarks ? model.landmark_features(image) : model.landmark_backbone().features(image);
  AttentionTrace trace;
  trace.full_last_block = options.full_last_block;
  model.classify(f_img, f_lm, options.full_last_block ? &trace : nullptr);
  return table(model, macs);
}

std::vector<ModuleInfo> describe_model(MobileFaceNet& model, std::int64_t image_size) {
  EvaluationScope evaluation(model);
  NoGrad no_grad;
  MacCounter macs;
  const Variable f_lm = model.features(blank_image(model, image_size));
  if (model.config().head) model.landmarks(f_lm);
  return table(model, macs);
}

}  // namespace fer
