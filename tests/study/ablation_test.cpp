// Tables of invented runs: their rows, and the contents of their columns.
#include "fer/study/ablation.h"

#include <doctest/doctest.h>

#include <cmath>

namespace {

/// An evaluation of ten samples of two classes; the first `right` predictions are correct.
fer::EvaluationResult evaluation(int right) {
  fer::EvaluationResult result{fer::ConfusionMatrix({"glad", "neutral"}), 0.5, {}};
  for (int i = 0; i < 10; ++i) {
    const std::int64_t label = i % 2, predicted = i < right ? label : 1 - label;
    result.confusion.add(label, predicted);
    result.samples.push_back(
        {i, label, predicted, {predicted == 0 ? 0.9f : 0.1f, predicted == 1 ? 0.9f : 0.1f}});
  }
  return result;
}

fer::AblationResult made_up() {
  fer::AblationTable table = fer::only_variants(fer::ablation_table("modules", {}), {"all"});
  fer::AblationResult result{table, {}, {1, 2}, "test", {}};
  int right = 5;
  for (const std::uint64_t seed : {1, 2}) {
    for (const std::size_t variant : {0, 1}) {
      right += variant == 0 ? 0 : 2;
      result.cells.push_back({variant, seed, 1000, 2.5, evaluation(right), evaluation(right - 1)});
    }
    right -= seed == 1 ? 1 : 0;
  }
  return result;  // none: 50 and 60 %, all: 70 and 80 %
}

}  // namespace

TEST_CASE("the rows of the paper's tables") {
  const auto names = [](const std::string& table) {
    std::vector<std::string> all;
    for (const auto& variant : fer::ablation_table(table, {"vit.pth", {"0.01"}}).variants)
      all.push_back(variant.name);
    return all;
  };
  CHECK(names("modules").size() == 8);
  CHECK(names("heatmap") == std::vector<std::string>{"conv", "sum", "abs_sum", "max"});
  CHECK(names("depth") == std::vector<std::string>{"2 blocks", "8 blocks", "ViT"});
  CHECK(names("loss") == std::vector<std::string>{"none", "anchor", "NeAA 0.01"});
  // Every setting is a key of the configuration.
  for (const std::string& table : fer::ablation_names()) {
    for (const auto& variant : fer::ablation_table(table, {"vit.pth", {"0.01"}}).variants) {
      fer::RunConfig config;
      for (const auto& [key, value] : variant.settings) fer::apply_setting(config, key, value, "test");
    }
  }
  const fer::AblationTable few = fer::only_variants(fer::ablation_table("heatmap", {}), {"sum"});
  CHECK(few.variants.size() == 2);
  CHECK(few.variants[few.reference].name == "max");
}

TEST_CASE("names of rows become names of folders") {
  CHECK(fer::cell_folder("t", {"product + cross", {}, ""}, 3) == "t/product+cross/seed-3");
  CHECK(fer::cell_folder("t", {"8 blocks", {}, ""}, 1) == "t/8_blocks/seed-1");
  CHECK(fer::cell_folder("t", {"NeAA 0.01", {}, ""}, 1) == "t/NeAA_0.01/seed-1");
  CHECK(fer::cell_folder("t", {"NeAA 1e-2", {}, ""}, 1) == "t/NeAA_1e-2/seed-1");  // 1e2 is another cell
}

TEST_CASE("a seed or a row that is named twice would count twice, and is refused") {
  fer::TrainingObserver silent;
  fer::AblationTable table = fer::ablation_table("loss", {"", {"0.1", "0.1"}});
  const auto start = [&](const std::vector<std::uint64_t>& seeds) {
    fer::run_ablation(table, fer::RunConfig(), seeds, "unused", fer::Device::cpu, silent);
  };
  CHECK_THROWS_WITH_AS(start({1}), "the variant 'NeAA 0.1' is named twice", fer::ConfigError);
  table = fer::ablation_table("loss", {"", {"0.1"}});
  CHECK_THROWS_WITH_AS(start({1, 2, 1}), "a seed is named twice", fer::ConfigError);
  CHECK(!std::filesystem::exists("unused"));
}

TEST_CASE("differences are paired by seed") {
  const fer::AblationResult result = made_up();
  CHECK(result.values(0, "accuracy") == std::vector<double>{0.5, 0.6});
  CHECK(result.values(1, "accuracy") == std::vector<double>{0.7, 0.8});
  const fer::PairedComparison c = result.against_reference(1, "accuracy");
  CHECK(c.pairs == 2);
  CHECK(c.difference == doctest::Approx(0.2));
  CHECK(c.deviation == doctest::Approx(0).epsilon(1e-9));
}

TEST_CASE("the table as Markdown and CSV") {
  const fer::AblationResult result = made_up();
  const std::string text = fer::to_markdown(result);
  CHECK(text.find("| none | 55.00 ± 7.07 | | |") != std::string::npos);
  CHECK(text.find("| all | 75.00 ± 7.07 | +20.00 (") != std::string::npos);
  CHECK(text.find("| 0.500, 0.500 | 92.31 |") != std::string::npos);
  const std::string csv = fer::to_csv(result);
  CHECK(csv.find("modules,all,2,1000,2.5,0.800000,") != std::string::npos);
  // A table with few finished runs.
  fer::AblationResult begun = made_up();
  begun.cells.erase(begun.cells.begin() + 1, begun.cells.end());
  CHECK(fer::to_markdown(begun).find("| all |  |  | - |") != std::string::npos);
}

TEST_CASE("figures of a data set without a neutral class are not defined") {
  fer::EvaluationResult result{fer::ConfusionMatrix({"a", "b"}), 0.5, {}};
  result.confusion.add(0, 0);
  for (const auto& [name, value] : fer::figures_of(result)) {
    if (name == "neutral_recall" || name == "neutral_f1") CHECK(std::isnan(value));
  }
}
