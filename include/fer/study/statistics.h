// Significance of differences between trained networks: spread over seeds, paired comparisons, and McNemar's
// test on the samples that two networks classify differently.
#pragma once

#include <cstdint>
#include <vector>

namespace fer {

/// The spread of a figure over several seeds.
struct Spread {
  int count = 0;
  double mean = 0, deviation = 0;  ///< deviation: sample deviation (n - 1); NaN for fewer than two values
};
/// Without values the mean is NaN. A value that is NaN (a class without samples) makes the mean NaN.
Spread spread(const std::vector<double>& values);

/// Student's t over the differences b[i] - a[i] of runs that share seed i.
struct PairedComparison {
  int pairs = 0;
  double difference = 0;     ///< mean of b - a
  double deviation = 0;      ///< of the differences
  double low = 0, high = 0;  ///< 95 % confidence interval of the mean difference
  double p = 1;              ///< two-sided, for the null hypothesis that the mean difference is 0
};
/// Interval and p are NaN for fewer than two pairs. Equal differences have p = 0, or 1 where all are 0.
/// ShapeError if the lists differ in length.
PairedComparison paired_comparison(const std::vector<double>& a, const std::vector<double>& b);

/// McNemar's exact test: whether two classifiers err equally often on the same samples. It uses only the
/// samples that exactly one of them gets right; under the null hypothesis each of these is a fair coin toss.
struct McNemar {
  std::int64_t both_right = 0, only_first = 0, only_second = 0, both_wrong = 0;
  double p = 1;  ///< two-sided
  std::int64_t samples() const { return both_right + only_first + only_second + both_wrong; }
  /// Accuracy of the second minus that of the first.
  double difference() const;
};
McNemar mcnemar(std::int64_t both_right, std::int64_t only_first, std::int64_t only_second,
                std::int64_t both_wrong);

/// Holm's correction of the p values of several tests, so that a threshold applies to all of them together.
/// NaN values stay NaN and do not count.
std::vector<double> holm(const std::vector<double>& p);

/// P(|T| > t) for Student's T with `degrees` degrees of freedom.
double student_two_sided(double t, double degrees);
/// The t with P(|T| > t) = p, 0 < p < 1.
double student_quantile(double p, double degrees);

}  // namespace fer
