// The settings of each row of the paper's tables, and the results that the paper reports.
#include <algorithm>

#include "fer/nearest.h"
#include "fer/study/ablation.h"

namespace fer {
namespace {

AblationTable modules() {
  AblationTable table{"modules",
                      "Product attention, cross attention and NeAA (the paper's Table 1)",
                      {},
                      0,
                      {"accuracy", "mean_class_accuracy"}};
  const auto add = [&table](const char* name, bool product, bool cross, bool neaa, const char* paper) {
    table.variants.push_back({name,
                              {{"product", product ? "true" : "false"},
                               {"cross", cross ? "true" : "false"},
                               {"loss", neaa ? "neaa" : "none"}},
                              paper});
  };
  add("none", false, false, false, "91.30");
  add("product", true, false, false, "91.42");
  add("cross", false, true, false, "91.49");
  add("NeAA", false, false, true, "91.65");
  add("product + cross", true, true, false, "91.79");
  add("cross + NeAA", false, true, true, "91.67");
  add("product + NeAA", true, false, true, "91.95");
  add("all", true, true, true, "92.31");
  return table;
}

AblationTable heatmap() {
  AblationTable table{"heatmap",
                      "What makes the heat map of the product attention (the paper's Table 4)",
                      {},
                      3,
                      {"accuracy", "mean_class_accuracy"}};
  const std::pair<const char*, const char*> kinds[] = {
      {"conv", "91.46"}, {"sum", "91.72"}, {"abs_sum", "91.59"}, {"max", "92.31"}};
  for (const auto& [kind, paper] : kinds) {
    table.variants.push_back({kind, {{"product", "true"}, {"heatmap", kind}}, paper});
  }
  return table;
}

AblationTable depth(const AblationOptions& options) {
  AblationTable table{"depth",
                      "Attention blocks, and starting weights (the paper's Table 2)",
                      {{"2 blocks", {{"depth", "2"}}, ""}, {"8 blocks", {{"depth", "8"}}, ""}},
                      0,
                      {"accuracy", "mean_class_accuracy"}};
  if (!options.vit.empty()) table.variants.push_back({"ViT", {{"vit", options.vit}}, ""});
  return table;
}

AblationTable loss(const AblationOptions& options) {
  AblationTable table{
      "loss",
      "The loss beside the cross-entropy, and the neutral class (the paper's Table 3)",
      {{"none", {{"loss", "none"}}, "neutral recall 89.71, F1 90.50"}, {"anchor", {{"loss", "anchor"}}, ""}},
      0,
      {"accuracy", "neutral_recall", "neutral_f1"}};
  for (const std::string& weight : options.weights) {
    table.variants.push_back({"NeAA " + weight,
                              {{"loss", "neaa"}, {"loss_weight", weight}},
                              weight == "0.01" ? "neutral recall 93.97, F1 91.16" : ""});
  }
  return table;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

const std::vector<std::string>& ablation_names() {
  static const std::vector<std::string> names{"modules", "depth", "loss", "heatmap"};
  return names;
}

AblationTable ablation_table(const std::string& name, const AblationOptions& options) {
  if (name == "modules") return modules();
  if (name == "depth") return depth(options);
  if (name == "loss") return loss(options);
  if (name == "heatmap") return heatmap();
  throw ConfigError(unknown_name("table", name, ablation_names()));
}

AblationTable only_variants(AblationTable table, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const AblationVariant& variant : table.variants) known.push_back(variant.name);
  for (const std::string& name : names) {
    require<ConfigError>(std::find(known.begin(), known.end(), name) != known.end(), "the table '",
                         table.name, "' has no variant '", name, "'; it has ", joined(known));
  }
  const std::string reference = known[table.reference];
  std::erase_if(table.variants, [&](const AblationVariant& variant) {
    return variant.name != reference && std::find(names.begin(), names.end(), variant.name) == names.end();
  });
  for (std::size_t i = 0; i < table.variants.size(); ++i) {
    if (table.variants[i].name == reference) table.reference = i;
  }
  return table;
}

}  // namespace fer
