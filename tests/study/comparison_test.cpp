#include "fer/study/comparison.h"

#include <doctest/doctest.h>

namespace {

/// An evaluation of two classes with the given labels and predictions.
fer::EvaluationResult evaluation(const std::vector<int>& labels, const std::vector<int>& predictions) {
  fer::EvaluationResult result{fer::ConfusionMatrix({"calm", "glad"}), 0.5, {}};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const bool glad = predictions[i] == 1;
    result.samples.push_back({static_cast<std::int64_t>(10 + i),
                              labels[i],
                              predictions[i],
                              {glad ? 0.25f : 0.75f, glad ? 0.75f : 0.25f}});
    result.confusion.add(labels[i], predictions[i]);
  }
  return result;
}

}  // namespace

TEST_CASE("which samples are mended and which are broken") {
  const auto first = evaluation({0, 0, 1, 1, 1}, {0, 1, 0, 1, 0}),
             second = evaluation({0, 0, 1, 1, 1}, {1, 0, 1, 1, 0});
  const fer::PredictionComparison c = fer::compare_predictions(first, second);
  CHECK(c.mended == std::vector<std::size_t>{1, 2});
  CHECK(c.broken == std::vector<std::size_t>{0});
  CHECK(c.test.both_right == 1);
  CHECK(c.test.both_wrong == 1);
  CHECK(c.test.p == doctest::Approx(1));
  const std::string text = fer::comparison_text(c, first, second, "a", "b");
  CHECK(text.find("accuracy                 40.00 %   60.00 %    +20.00") != std::string::npos);
  CHECK(text.find("2 mended, 1 broken") != std::string::npos);
}

TEST_CASE("evaluations of different samples are refused") {
  const auto two = evaluation({0, 1}, {0, 1});
  CHECK_THROWS_WITH_AS(fer::compare_predictions(two, evaluation({0}, {0})),
                       "the evaluations to compare cover 2 and 1 samples; they must cover the same samples",
                       fer::DataError);
  CHECK_THROWS_WITH_AS(
      fer::compare_predictions(two, evaluation({0, 0}, {0, 0})),
      "the evaluations to compare differ at sample 1: number 11 of class 1 and number 11 of class 0",
      fer::DataError);
}

TEST_CASE("an evaluation survives JSON; a damaged one is refused by name") {
  const auto before = evaluation({0, 1, 1}, {0, 1, 0});
  const std::string text = fer::evaluation_to_json(before, true);
  const fer::EvaluationResult after = fer::evaluation_from_json(text, "x.json");
  CHECK(after.confusion.accuracy() == before.confusion.accuracy());
  CHECK(after.cross_entropy == before.cross_entropy);
  CHECK(fer::evaluation_to_json(after, true) == text);
  const auto refused = [](const std::string& damaged, const char* message) {
    CHECK_THROWS_WITH_AS(fer::evaluation_from_json(damaged, "x.json"), message, fer::FormatError);
  };
  refused("{\"a\": 1e999}", "x.json: 'a' is out of range: 1e999");
  const char* none = "x.json: not an evaluation with its predictions, as 'fer eval --save' writes it";
  refused("3", "x.json: not a JSON object");
  refused(fer::evaluation_to_json(before, false), none);
  const std::size_t label = text.find("\"label\": ") + 9;
  refused(text.substr(0, label) + "1e300" + text.substr(text.find(',', label)),
          "x.json: prediction 1: 'label' must be a whole number, got 1e+300");
  refused(text.substr(0, label) + "5000000000" + text.substr(text.find(',', label)),
          "x.json: confusion matrix of 2 classes: got the pair (5000000000, 0)");
}
