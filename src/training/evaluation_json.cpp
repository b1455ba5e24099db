#include "training/evaluation_json.h"

#include <cmath>

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

Json evaluation_json(const EvaluationResult& result, bool with_samples) {
  Json json = confusion_json(result.confusion);
  json["cross_entropy"] = json_number(result.cross_entropy);
  if (with_samples) {
    Json samples = Json::array();
    for (const SamplePrediction& p : result.samples) {
      samples.push_back({{"index", p.index},
                         {"label", p.label},
                         {"predicted", p.predicted},
                         {"probabilities", p.probabilities}});
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
    EvaluationResult result{ConfusionMatrix(std::move(names)), 0, {}};
    const Json& cross_entropy = json_at(json, "cross_entropy", source);
    result.cross_entropy =
        cross_entropy.is_null() ? std::nan("") : json_at<double>(json, "cross_entropy", source);
    for (const Json& sample : json_at(json, "predictions", source)) {
      const std::string where = concat(source, ": prediction ", result.samples.size() + 1);
      SamplePrediction p{json_at<std::int64_t>(sample, "index", where),
                         json_at<std::int64_t>(sample, "label", where),
                         json_at<std::int64_t>(sample, "predicted", where),
                         json_at<std::vector<float>>(sample, "probabilities", where)};
      require<FormatError>(p.probabilities.size() == classes, where, " has ", p.probabilities.size(),
                           " probabilities for ", classes, " classes");
      result.confusion.add(p.label, p.predicted);
      result.samples.push_back(std::move(p));
    }
    return result;
  } catch (const DataError& error) {
    throw FormatError(concat(source, ": ", error.what()));
  }
}

std::string evaluation_to_json(const EvaluationResult& result, bool with_samples) {
  return evaluation_json(result, with_samples).dump(2) + "\n";
}

EvaluationResult evaluation_from_json(const std::string& text, const std::string& source) {
  const Json json = parse_json(text, source);
  require<FormatError>(json.is_object() && json.contains("predictions"), source,
                       ": not an evaluation with its predictions, as 'fer eval --save' writes it");
  return evaluation_of_json(json, source);
}

}  // namespace fer
