// Quality of a classifier: the confusion matrix and the figures derived from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fer {

/// Counts of (true class, predicted class). Figures of a class without samples are NaN, not 0.
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(std::vector<std::string> class_names);

  /// DataError if a class is out of range.
  void add(std::int64_t truth, std::int64_t predicted);
  std::int64_t count(std::int64_t truth, std::int64_t predicted) const;
  std::int64_t total() const { return total_; }
  int classes() const { return static_cast<int>(names_.size()); }
  const std::vector<std::string>& class_names() const { return names_; }

  double accuracy() const;
  /// The share of a class's samples that are predicted as that class; also called the class's accuracy.
  double recall(int c) const;
  /// The share of the samples predicted as a class that belong to it.
  double precision(int c) const;
  /// Harmonic mean of recall and precision.
  double f1(int c) const;
  /// Mean of recall over the classes that have samples.
  double mean_class_accuracy() const;
  double macro_f1() const;
  std::int64_t support(int c) const;

  /// A table for a terminal: counts, recall, precision and F1.
  std::string text() const;

 private:
  std::vector<std::string> names_;
  std::vector<std::int64_t> counts_;  // truth x predicted
  std::int64_t total_ = 0;
};

}  // namespace fer
