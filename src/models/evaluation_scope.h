// A model in evaluation mode while this is alive, and as it was before from then on.
#pragma once

#include "fer/layers/module.h"

namespace fer {

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

}  // namespace fer
