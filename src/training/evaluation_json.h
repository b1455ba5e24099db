// Converts evaluations to JSON values that can be part of larger documents.
#pragma once

#include <cmath>

#include "fer/training/evaluate.h"
#include "formats/json_text.h"

namespace fer {

Json confusion_json(const ConfusionMatrix& confusion);
Json evaluation_json(const EvaluationResult& result, bool with_samples);
/// FormatError, naming `source`, unless `json` is an evaluation with its samples.
EvaluationResult evaluation_of_json(const Json& json, const std::string& source);

/// JSON has no NaN, so an undefined figure is null.
inline Json json_number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

}  // namespace fer
