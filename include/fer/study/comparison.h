// Compares two networks on the same samples: which ones each gets right, and whether the difference is
// significant.
//
//   fer::PredictionComparison c = fer::compare_predictions(without_neaa, with_neaa);
//   std::cout << fer::comparison_text(c, without_neaa, with_neaa, "without", "with");
#pragma once

#include <string>
#include <vector>

#include "fer/study/statistics.h"
#include "fer/training/evaluate.h"

namespace fer {

struct PredictionComparison {
  McNemar test;
  std::vector<std::size_t> mended;  ///< positions in second.samples: wrong in the first, right in the second
  std::vector<std::size_t> broken;  ///< right in the first, wrong in the second
};

/// DataError unless both have the same samples, labels and classes, in the same order.
PredictionComparison compare_predictions(const EvaluationResult& first, const EvaluationResult& second);

/// A table for a terminal: accuracy of both, overall and per class, and McNemar's test.
std::string comparison_text(const PredictionComparison& comparison, const EvaluationResult& first,
                            const EvaluationResult& second, const std::string& first_name,
                            const std::string& second_name);
std::string comparison_to_json(const PredictionComparison& comparison, const EvaluationResult& first,
                               const EvaluationResult& second);

/// A p value for tables: "0.012", "< 0.001"; "-" if it is undefined.
std::string p_text(double p);

}  // namespace fer
