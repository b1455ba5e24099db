#include "fer/training/metrics.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>

#include "fer/error.h"

namespace fer {
namespace {

constexpr double no_samples = std::numeric_limits<double>::quiet_NaN();

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? no_samples : static_cast<double>(part) / static_cast<double>(whole);
}

template <typename Figure>
double mean_of_defined(int classes, Figure figure) {
  double sum = 0;
  int defined = 0;
  for (int c = 0; c < classes; ++c) {
    const double value = figure(c);
    if (std::isnan(value)) continue;
    sum += value;
    ++defined;
  }
  return defined == 0 ? no_samples : sum / defined;
}

}  // namespace

ConfusionMatrix::ConfusionMatrix(std::vector<std::string> class_names)
    : names_(std::move(class_names)), counts_(names_.size() * names_.size(), 0) {}

void ConfusionMatrix::add(std::int64_t truth, std::int64_t predicted) {
  require<DataError>(truth >= 0 && truth < classes() && predicted >= 0 && predicted < classes(),
                     "confusion matrix of ", classes(), " classes: got the pair (", truth, ", ", predicted,
                     ")");
  ++counts_[static_cast<std::size_t>(truth * classes() + predicted)];
  ++total_;
}

std::int64_t ConfusionMatrix::count(std::int64_t truth, std::int64_t predicted) const {
  return counts_.at(static_cast<std::size_t>(truth * classes() + predicted));
}

std::int64_t ConfusionMatrix::support(int c) const {
  std::int64_t sum = 0;
  for (int p = 0; p < classes(); ++p) sum += count(c, p);
  return sum;
}

double ConfusionMatrix::accuracy() const {
  std::int64_t right = 0;
  for (int c = 0; c < classes(); ++c) right += count(c, c);
  return ratio(right, total_);
}

double ConfusionMatrix::recall(int c) const {
  return ratio(count(c, c), support(c));
}

double ConfusionMatrix::precision(int c) const {
  std::int64_t predicted = 0;
  for (int t = 0; t < classes(); ++t) predicted += count(t, c);
  return ratio(count(c, c), predicted);
}

double ConfusionMatrix::f1(int c) const {
  std::int64_t predicted = 0;
  for (int t = 0; t < classes(); ++t) predicted += count(t, c);
  return ratio(2 * count(c, c), support(c) + predicted);
}

double ConfusionMatrix::mean_class_accuracy() const {
  return mean_of_defined(classes(), [this](int c) { return recall(c); });
}

double ConfusionMatrix::macro_f1() const {
  return mean_of_defined(classes(), [this](int c) { return support(c) == 0 ? no_samples : f1(c); });
}

std::string ConfusionMatrix::text() const {
  std::size_t widest = 5;
  for (const std::string& name : names_) widest = std::max(widest, name.size());
  const int label = static_cast<int>(widest) + 2, cell = 7;
  std::ostringstream out;
  out << std::left << std::setw(label) << "true" << std::right;
  for (const std::string& name : names_) out << std::setw(cell) << name.substr(0, 6);
  out << std::setw(9) << "recall" << std::setw(11) << "precision" << std::setw(7) << "F1"
      << "\n";
  const auto percent = [&out](double value, int width) {
    if (std::isnan(value)) {
      out << std::setw(width) << "-";
    } else {
      out << std::setw(width) << std::fixed << std::setprecision(1) << 100 * value;
    }
  };
  for (int t = 0; t < classes(); ++t) {
    out << std::left << std::setw(label) << names_[static_cast<std::size_t>(t)] << std::right;
    for (int p = 0; p < classes(); ++p) out << std::setw(cell) << count(t, p);
    percent(recall(t), 9);
    percent(precision(t), 11);
    percent(f1(t), 7);
    out << "\n";
  }
  return out.str();
}

}  // namespace fer
