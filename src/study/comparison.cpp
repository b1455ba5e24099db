#include "fer/study/comparison.h"

#include <cmath>
#include <cstdio>
#include <iomanip>
#include <sstream>

#include "formats/json_document.h"
#include "study/number_text.h"
#include "training/evaluation_json.h"

namespace fer {
namespace {

std::string percent(double share) {
  return detail::percent(share, 2);
}

std::string points(double difference) {
  return detail::formatted("%+.2f", 100 * difference);
}

}  // namespace

PredictionComparison compare_predictions(const EvaluationResult& first, const EvaluationResult& second) {
  require<DataError>(first.confusion.class_names() == second.confusion.class_names(),
                     "the evaluations to compare have different classes");
  require<DataError>(first.samples.size() == second.samples.size(), "the evaluations to compare cover ",
                     first.samples.size(), " and ", second.samples.size(),
                     " samples; they must cover the same samples");
  PredictionComparison comparison;
  std::int64_t both_right = 0, both_wrong = 0;
  for (std::size_t i = 0; i < first.samples.size(); ++i) {
    const SamplePrediction &a = first.samples[i], &b = second.samples[i];
    require<DataError>(a.index == b.index && a.label == b.label,
                       "the evaluations to compare differ at sample ", i, ": number ", a.index, " of class ",
                       a.label, " and number ", b.index, " of class ", b.label);
    const bool first_right = a.predicted == a.label, second_right = b.predicted == b.label;
    if (first_right && second_right) ++both_right;
    if (!first_right && !second_right) ++both_wrong;
    if (!first_right && second_right) comparison.mended.push_back(i);
    if (first_right && !second_right) comparison.broken.push_back(i);
  }
  comparison.test = mcnemar(both_right, static_cast<std::int64_t>(comparison.broken.size()),
                            static_cast<std::int64_t>(comparison.mended.size()), both_wrong);
  return comparison;
}

std::string comparison_text(const PredictionComparison& comparison, const EvaluationResult& first,
                            const EvaluationResult& second, const std::string& first_name,
                            const std::string& second_name) {
  std::ostringstream out;
  const auto row = [&out](const std::string& name, double a, double b) {
    out << std::left << std::setw(22) << name << std::right << std::setw(10) << percent(a) << std::setw(10)
        << percent(b) << std::setw(10) << points(b - a) << "\n";
  };
  const ConfusionMatrix &a = first.confusion, &b = second.confusion;
  out << "first:  " << first_name << "\nsecond: " << second_name << "\n\n"
      << std::left << std::setw(22) << "" << std::right << std::setw(10) << "first" << std::setw(10)
      << "second" << std::setw(10) << "points"
      << "\n";
  row("accuracy", a.accuracy(), b.accuracy());
  row("mean class accuracy", a.mean_class_accuracy(), b.mean_class_accuracy());
  row("macro F1", a.macro_f1(), b.macro_f1());
  for (int c = 0; c < a.classes(); ++c) {
    row("  " + a.class_names()[static_cast<std::size_t>(c)], a.recall(c), b.recall(c));
  }
  const McNemar& t = comparison.test;
  out << "\nof " << t.samples() << " samples both are right on " << t.both_right << ", both wrong on "
      << t.both_wrong << "; " << t.only_second << " mended, " << t.only_first << " broken\n"
      << "McNemar's exact test: p = " << p_text(t.p) << "\n";
  return out.str();
}

std::string comparison_to_json(const PredictionComparison& comparison, const EvaluationResult& first,
                               const EvaluationResult& second) {
  const McNemar& t = comparison.test;
  const auto indices = [&second](const std::vector<std::size_t>& positions) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const std::size_t i : positions) list.push_back(second.samples[i].index);
    return list;
  };
  nlohmann::ordered_json json = json_document("comparison", 2);
  json["first"] = evaluation_json(first, false);
  json["second"] = evaluation_json(second, false);
  json["mcnemar"] = {{"both_right", t.both_right},
                     {"only_first_right", t.only_first},
                     {"only_second_right", t.only_second},
                     {"both_wrong", t.both_wrong},
                     {"difference", json_number(t.difference())},
                     {"p", t.p}};
  json["mended"] = indices(comparison.mended);
  json["broken"] = indices(comparison.broken);
  return json.dump(2) + "\n";
}

std::string p_text(double p) {
  if (std::isnan(p)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, p < 0.001 ? "< 0.001" : "%.3f", p);
  return text;
}

}  // namespace fer
