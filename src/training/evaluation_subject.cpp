// What an evaluation covers: its data, its label rule, its weights, and the classes compared.
#include <algorithm>
#include <numeric>
#include <sstream>

#include "fer/training/evaluate.h"

namespace fer {
namespace {

/// The result that the network would have if it chose only among the classes in `kept`.
EvaluationResult restricted(const EvaluationResult& result, const std::vector<std::int64_t>& kept) {
  std::vector<std::string> names;
  std::vector<std::int64_t> new_position(static_cast<std::size_t>(result.confusion.classes()), -1);
  for (const std::int64_t c : kept) {
    new_position[static_cast<std::size_t>(c)] = static_cast<std::int64_t>(names.size());
    names.push_back(result.confusion.class_names()[static_cast<std::size_t>(c)]);
  }
  const auto share_of = [&kept](const std::vector<float>& values, std::int64_t sample) {
    std::vector<float> part;
    for (const std::int64_t c : kept) part.push_back(values[static_cast<std::size_t>(c)]);
    const float sum = std::accumulate(part.begin(), part.end(), 0.0f);
    require<DataError>(sum > 0, "sample ", sample, " has no probability left for the classes in common");
    for (float& v : part) v /= sum;
    return part;
  };
  EvaluationResult of_kept{ConfusionMatrix(std::move(names)), 0, {}, result.subject};
  double loss = 0;
  for (const SamplePrediction& sample : result.samples) {
    SamplePrediction p;
    p.index = sample.index;
    p.label = new_position[static_cast<std::size_t>(sample.label)];
    if (p.label < 0) {
      ++of_kept.subject.left_out;
      continue;
    }
    p.probabilities = share_of(sample.probabilities, p.index);
    if (!sample.target.empty()) p.target = share_of(sample.target, p.index);
    p.predicted = std::max_element(p.probabilities.begin(), p.probabilities.end()) - p.probabilities.begin();
    loss += sample_loss(p);
    of_kept.confusion.add(p.label, p.predicted);
    of_kept.samples.push_back(std::move(p));
  }
  of_kept.cross_entropy = loss / static_cast<double>(std::max<std::int64_t>(1, of_kept.confusion.total()));
  return of_kept;
}

/// "; of the network alone: contempt", or nothing.
std::string left_over(const std::string& owner, const std::vector<std::string>& names) {
  return names.empty() ? "" : concat("; of the ", owner, " alone: ", class_list_text(names));
}

}  // namespace

ClassMap comparable_classes(const std::vector<std::string>& first, const std::vector<std::string>& second) {
  ClassMap map = match_classes({"the first evaluation", first}, {"the second evaluation", second});
  require<DataError>(map.common.size() >= 2, "the first evaluation has the classes ", class_list_text(first),
                     ", the second ", class_list_text(second), "; a comparison needs two in common");
  return map;
}

void restrict_to_common_classes(EvaluationResult& first, EvaluationResult& second) {
  if (first.confusion.class_names() == second.confusion.class_names()) return;
  const ClassMap map = comparable_classes(first.confusion.class_names(), second.confusion.class_names());
  std::vector<std::int64_t> of_first, of_second;
  for (const ClassMap::Pair& p : map.common) {
    of_first.push_back(p.first);
    of_second.push_back(p.second);
  }
  first = restricted(first, of_first);
  second = restricted(second, of_second);
}

LeftOverClasses left_over_classes(const EvaluationResult& result) {
  const ClassList compared{"the evaluation", result.confusion.class_names()};
  return {match_classes({"the data set", result.subject.dataset_classes}, compared).only_first,
          match_classes({"the network", result.subject.network_classes}, compared).only_first};
}

std::string subject_text(const EvaluationResult& result) {
  const EvaluationSubject& subject = result.subject;
  std::ostringstream out;
  out << result.confusion.total() << " samples of " << subject.dataset << " (" << subject.split
      << "), labels: " << subject.labels << "\n";
  if (!subject.weights.empty()) {
    out << "weights: " << subject.weights;
    if (!subject.sha256.empty()) out << ", SHA-256 " << subject.sha256;
    out << "\n";
  }
  const LeftOverClasses leftovers = left_over_classes(result);
  if (!leftovers.of_dataset.empty() || !leftovers.of_network.empty()) {
    out << "classes in common: " << class_list_text(result.confusion.class_names())
        << left_over("data set", leftovers.of_dataset) << left_over("network", leftovers.of_network)
        << "\npredictions are the most probable of the classes in common; " << subject.left_out
        << " samples of other classes are left out\n";
  }
  return out.str();
}

}  // namespace fer
