#include "training/evaluation_json.h"

#include <cmath>

#include "formats/json_document.h"

namespace fer {

Json confusion_json(const ConfusionMatrix& confusion) {
  Json classes = Json::array(), matrix = Json::array();
  for (int c = 0; c < confusion.classes(); ++c) {
    classes.push_back({{"name", confusion.class_names()[static_cast<std::size_t>(c)]},
                       {"samples", confusion.support(c)},
                       {"recall", json_number(confusion.recall(c))},
                       {"precision", json_number(confusion.precision(c))},
                       {"f1", json_number(confusion.f1(c))}});
    Json row = Json::array();
    for (int p = 0; p < confusion.classes(); ++p) row.push_back(confusion.count(c, p));
    matrix.push_back(std::move(row));
  }
  return {{"samples", confusion.total()},
          {"accuracy", json_number(confusion.accuracy())},
          {"mean_class_accuracy", json_number(confusion.mean_class_accuracy())},
          {"macro_f1", json_number(confusion.macro_f1())},
          {"classes", std::move(classes)},
          {"confusion", std::move(matrix)}};
}

namespace {

Json subject_json(const EvaluationResult& result) {
  const EvaluationSubject& subject = result.subject;
  const LeftOverClasses leftovers = left_over_classes(result);
  return {{"dataset", subject.dataset},
          {"split", subject.split},
          {"labels", subject.labels},
          {"weights", {{"file", subject.weights}, {"sha256", subject.sha256}}},
          {"dataset_classes", subject.dataset_classes},
          {"network_classes", subject.network_classes},
          {"only_in_dataset", leftovers.of_dataset},
          {"only_in_network", leftovers.of_network},
          {"left_out", subject.left_out}};
}

/// Older evaluations lack it.
EvaluationSubject subject_of_json(const Json& json, const std::string& source) {
  if (!json.contains("dataset")) return {};
  const Json& weights = json_at(json, "weights", source);
  return {json_at<std::string>(json, "dataset", source),
          json_at<std::string>(json, "split", source),
          json_at<std::string>(json, "labels", source),
          json_at<std::string>(weights, "file", source + ": 'weights'"),
          json_at<std::string>(weights, "sha256", source + ": 'weights'"),
          json_at<std::vector<std::string>>(json, "dataset_classes", source),
          json_at<std::vector<std::string>>(json, "network_classes", source),
          json_at<std::int64_t>(json, "left_out", source)};
}

}  // namespace

Json evaluation_json(const EvaluationResult& result, bool with_samples) {
  Json json = subject_json(result);
  json.update(confusion_json(result.confusion));
  json["cross_entropy"] = json_number(result.cross_entropy);
  if (with_samples) {
    Json samples = Json::array();
    for (const SamplePrediction& p : result.samples) {
      samples.push_back({{"index", p.index},
                         {"label", p.label},
                         {"predicted", p.predicted},
                         {"probabilities", p.probabilities}});
      if (!p.target.empty()) samples.back()["target"] = p.target;
    }
    json["predictions"] = std::move(samples);
  }
  return json;
}

EvaluationResult evaluation_of_json(const Json& json, const std::string& source) {
  try {
    std::vector<std::string> names;
    for (const Json& c : json_at(json, "classes", source)) {
      names.push_back(json_at<std::string>(c, "name", source + ": 'classes'"));
    }
    const std::size_t classes = names.size();
    EvaluationResult result{ConfusionMatrix(std::move(names)), 0, {}, subject_of_json(json, source)};
    const Json& cross_entropy = json_at(json, "cross_entropy", source);
    result.cross_entropy =
        cross_entropy.is_null() ? std::nan("") : json_at<double>(json, "cross_entropy", source);
    for (const Json& sample : json_at(json, "predictions", source)) {
      const std::string where = concat(source, ": prediction ", result.samples.size() + 1);
      SamplePrediction p{json_at<std::int64_t>(sample, "index", where),
                         json_at<std::int64_t>(sample, "label", where),
                         json_at<std::int64_t>(sample, "predicted", where),
                         json_at<std::vector<float>>(sample, "probabilities", where),
                         json_value<std::vector<float>>(sample, "target", {}, where)};
      require<FormatError>(p.probabilities.size() == classes, where, " has ", p.probabilities.size(),
                           " probabilities for ", classes, " classes");
      require<FormatError>(p.target.empty() || p.target.size() == classes, where, " has ", p.target.size(),
                           " shares of votes for ", classes, " classes");
      result.confusion.add(p.label, p.predicted);
      result.samples.push_back(std::move(p));
    }
    return result;
  } catch (const DataError& error) {
    throw FormatError(concat(source, ": ", error.what()));
  }
}

std::string evaluation_to_json(const EvaluationResult& result, bool with_samples) {
  return json_document("evaluation", 2, evaluation_json(result, with_samples)).dump(2) + "\n";
}

EvaluationResult evaluation_from_json(const std::string& text, const std::string& source) {
  const Json json = parse_json(text, source);
  require<FormatError>(json.is_object(), source, ": not a JSON object");
  require_document(json, "evaluation", 2, source);
  require<FormatError>(json.contains("predictions"), source,
                       ": not an evaluation with its predictions, as 'fer eval --save' writes it");
  return evaluation_of_json(json, source);
}

}  // namespace fer
