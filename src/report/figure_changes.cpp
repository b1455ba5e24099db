// Figure 8: faces that the second network corrects and faces that it gets wrong.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "report/figure_parts.h"

namespace fer {
namespace {

/// Sorted by the change of the true class's probability, largest first.
std::vector<std::size_t> sorted_by_change(std::vector<std::size_t> positions, const EvaluationResult& first,
                                          const EvaluationResult& second) {
  const auto change = [&](std::size_t i) {
    const auto label = static_cast<std::size_t>(second.samples[i].label);
    return std::abs(second.samples[i].probabilities[label] - first.samples[i].probabilities[label]);
  };
  std::stable_sort(positions.begin(), positions.end(),
                   [&](std::size_t a, std::size_t b) { return change(a) > change(b); });
  return positions;
}

Drawing section(const Dataset& dataset, const EvaluationResult& first, const EvaluationResult& second,
                const std::vector<std::size_t>& positions, std::size_t count, const std::string& title) {
  const auto& names = second.confusion.class_names();
  const auto said = [&](const SamplePrediction& p) {
    const auto c = static_cast<std::size_t>(p.predicted);
    return names[c] + " " + detail::percent(p.probabilities[c], 0);
  };
  std::vector<Panel> panels;
  for (const std::size_t i : sorted_by_change(positions, first, second)) {
    if (panels.size() == count) break;
    const SamplePrediction &before = first.samples[i], &after = second.samples[i];
    panels.push_back(
        {detail::canvas(dataset.sample(after.index).image),
         {names[static_cast<std::size_t>(after.label)], "1: " + said(before), "2: " + said(after)},
         true});
  }
  SheetOptions options;
  options.columns = static_cast<int>(std::clamp<std::size_t>(panels.size(), 3, 6));
  options.text_size = 10;
  options.title = title;
  return contact_sheet(panels, options);
}

}  // namespace

Drawing changes_figure(const Dataset& dataset, const EvaluationResult& first, const EvaluationResult& second,
                       const std::string& first_name, const std::string& second_name, std::size_t count) {
  require<ConfigError>(count > 0, "a figure needs one face or more");
  const PredictionComparison comparison = compare_predictions(first, second);
  const McNemar& test = comparison.test;
  const Drawing mended = section(dataset, first, second, comparison.mended, count,
                                 concat("Mended: 1 wrong, 2 right (", test.only_second, ")"));
  const Drawing broken = section(dataset, first, second, comparison.broken, count,
                                 concat("Broken: 1 right, 2 wrong (", test.only_first, ")"));
  const double width = std::max({mended.width(), broken.width(), 360.0});
  Drawing figure(width, 66 + mended.height() + broken.height());
  const TextStyle small{.size = 11};
  figure.text(12, 20, fitted_text("1: " + first_name, 11, width - 24), small);
  figure.text(12, 36, fitted_text("2: " + second_name, 11, width - 24), small);
  figure.text(12, 52, concat(test.samples(), " faces; McNemar's exact test: p = ", p_text(test.p)), small);
  figure.add(mended, 0, 58);
  figure.add(broken, 0, 58 + mended.height());
  return figure;
}

}  // namespace fer
