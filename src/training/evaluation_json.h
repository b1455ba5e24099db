// Evaluations as JSON values, for those who put them into larger documents.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>

#include "fer/training/evaluate.h"

namespace fer {

nlohmann::ordered_json confusion_json(const ConfusionMatrix& confusion);
nlohmann::ordered_json evaluation_json(const EvaluationResult& result, bool with_samples);
/// FormatError, naming `source`, unless `json` is an evaluation with its samples.
EvaluationResult evaluation_of_json(const nlohmann::ordered_json& json, const std::string& source);

/// JSON has no NaN: a figure that is not defined is null.
inline nlohmann::ordered_json json_number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

}  // namespace fer
