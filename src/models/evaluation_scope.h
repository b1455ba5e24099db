// Puts a model into evaluation mode while alive, and restores its previous mode afterwards.
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
