#include "fer/study/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "fer/error.h"

namespace fer {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

/// The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method.
double beta_fraction(double x, double a, double b) {
  constexpr double tiny = 1e-300;
  const auto nonzero = [](double v) { return std::abs(v) < tiny ? tiny : v; };
  double c = 1, d = 1 / nonzero(1 - (a + b) * x / (a + 1)), fraction = d;
  for (int m = 1; m <= 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonzero(1 + even * d);
    c = nonzero(1 + even / c);
    fraction *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonzero(1 + odd * d);
    c = nonzero(1 + odd / c);
    fraction *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return fraction;
}

/// I_x(a, b), regularised.
double incomplete_beta(double x, double a, double b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  // The fraction converges fast on this side of the mean; symmetry gives the other side.
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(x, a, b) / a;
  return 1 - front * beta_fraction(1 - x, b, a) / b;
}

}  // namespace

Spread spread(const std::vector<double>& values) {
  Spread result{static_cast<int>(values.size()), undefined, undefined};
  if (values.empty()) return result;
  const auto n = static_cast<double>(values.size());
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double v : values) squares += (v - result.mean) * (v - result.mean);
  result.deviation = std::sqrt(squares / (n - 1));
  return result;
}

PairedComparison paired_comparison(const std::vector<double>& a, const std::vector<double>& b) {
  require<ShapeError>(a.size() == b.size(), "[paired_comparison] needs pairs, got ", a.size(), " and ",
                      b.size(), " values");
  std::vector<double> differences(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) differences[i] = b[i] - a[i];
  const Spread s = spread(differences);
  PairedComparison result{s.count, s.mean, s.deviation, undefined, undefined, undefined};
  if (s.count < 2 || std::isnan(s.deviation)) return result;
  const double error = s.deviation / std::sqrt(static_cast<double>(s.count));
  const double degrees = s.count - 1, half = student_quantile(0.05, degrees) * error;
  result.low = s.mean - half;
  result.high = s.mean + half;
  result.p = error > 0 ? student_two_sided(s.mean / error, degrees) : (s.mean == 0 ? 1 : 0);
  return result;
}

double McNemar::difference() const {
  return samples() == 0 ? undefined
                        : static_cast<double>(only_second - only_first) / static_cast<double>(samples());
}

McNemar mcnemar(std::int64_t both_right, std::int64_t only_first, std::int64_t only_second,
                std::int64_t both_wrong) {
  McNemar result{both_right, only_first, only_second, both_wrong, 1};
  const std::int64_t n = only_first + only_second, least = std::min(only_first, only_second);
  double tail = 0;  // P(X <= least), X binomial(n, 1/2)
  const auto trials = static_cast<double>(n);
  for (std::int64_t k = 0; k <= least; ++k) {
    const auto hits = static_cast<double>(k);
    tail += std::exp(std::lgamma(trials + 1) - std::lgamma(hits + 1) - std::lgamma(trials - hits + 1) -
                     trials * std::log(2.0));
  }
  result.p = std::min(1.0, 2 * tail);
  return result;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!std::isnan(p[i])) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return p[i] < p[j]; });
  std::vector<double> adjusted(p.size(), undefined);
  double greatest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    greatest = std::max(greatest, static_cast<double>(order.size() - rank) * p[order[rank]]);
    adjusted[order[rank]] = std::min(1.0, greatest);
  }
  return adjusted;
}

double student_two_sided(double t, double degrees) {
  return incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5);
}

double student_quantile(double p, double degrees) {
  require<ConfigError>(p > 0 && p < 1 && degrees > 0, "[student_quantile] needs 0 < p < 1, got ", p);
  double low = 0, high = 1;
  while (student_two_sided(high, degrees) > p) high *= 2;
  for (int step = 0; step < 200 && high - low > 1e-14 * high; ++step) {
    const double middle = (low + high) / 2;
    (student_two_sided(middle, degrees) > p ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace fer
