// A table of runs as Markdown, CSV and JSON.
#include <cmath>
#include <cstdio>
#include <map>
#include <sstream>

#include "fer/study/ablation.h"
#include "fer/study/comparison.h"
#include "formats/json_document.h"
#include "study/number_text.h"
#include "training/evaluation_json.h"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;

using detail::formatted;

std::string spoken(std::string metric) {
  for (char& c : metric) c = c == '_' ? ' ' : c;
  return metric;
}

/// "91.30 ± 0.21": per cent. The deviation is omitted if there is only one seed.
std::string mean_text(const Spread& s) {
  if (s.count == 0) return "";
  const std::string mean = formatted("%.2f", 100 * s.mean);
  return std::isnan(s.deviation) ? mean : mean + " ± " + formatted("%.2f", 100 * s.deviation);
}

std::string difference_text(const PairedComparison& c) {
  if (c.pairs == 0) return "";
  std::string text = formatted("%+.2f", 100 * c.difference);
  if (!std::isnan(c.low)) {
    text += " (" + formatted("%+.2f", 100 * c.low) + " to " + formatted("%+.2f", 100 * c.high) + ")";
  }
  return text;
}

/// p values of all variants against the reference, corrected for their number; NaN for the reference itself.
std::vector<double> corrected(const AblationResult& result, const std::string& metric) {
  std::vector<double> p;
  for (std::size_t v = 0; v < result.table.variants.size(); ++v) {
    p.push_back(v == result.table.reference ? std::nan("") : result.against_reference(v, metric).p);
  }
  return holm(p);
}

/// McNemar's test of a variant against the reference, for each seed.
std::map<std::uint64_t, McNemar> mcnemar_by_seed(const AblationResult& result, std::size_t variant) {
  std::map<std::uint64_t, McNemar> tests;
  for (const AblationCell& cell : result.cells) {
    if (cell.variant != variant) continue;
    for (const AblationCell& reference : result.cells) {
      if (reference.variant == result.table.reference && reference.seed == cell.seed) {
        tests[cell.seed] = compare_predictions(reference.best, cell.best).test;
      }
    }
  }
  return tests;
}

std::string about(const AblationResult& result) {
  const RunConfig& c = result.config;
  std::ostringstream out;
  std::size_t samples = result.cells.empty() ? 0 : result.cells[0].best.samples.size();
  out << c.data.name << ", " << samples << " samples of " << result.test_split << "; preset " << c.preset
      << ", " << c.training.epochs << " epochs of batches of " << c.training.batch_size;
  if (c.training.max_steps > 0) out << ", at most " << c.training.max_steps << " steps";
  out << ", learning rate " << c.training.lr << "; seeds";
  for (const std::uint64_t seed : result.seeds) out << " " << seed;
  out << ".";
  return out.str();
}

}  // namespace

std::string to_markdown(const AblationResult& result) {
  const AblationTable& table = result.table;
  const std::string reference = table.variants[table.reference].name;
  bool has_paper = false;
  for (const AblationVariant& variant : table.variants) has_paper = has_paper || !variant.paper.empty();
  std::ostringstream out;
  out << "## " << table.title << "\n\n" << about(result) << "\n\n| |";
  std::string rule = "|---|";
  for (const std::string& metric : table.metrics) {
    out << " " << spoken(metric) << ", % | to " << reference << ", points (95 % interval) | p |";
    rule += "---:|---:|---:|";
  }
  out << " McNemar p, by seed |" << (has_paper ? " paper (RAF-DB) |" : "") << "\n"
      << rule << "---:|" << (has_paper ? "---:|" : "") << "\n";
  for (std::size_t v = 0; v < table.variants.size(); ++v) {
    out << "| " << table.variants[v].name << " |";
    for (const std::string& metric : table.metrics) {
      out << " " << mean_text(spread(result.values(v, metric))) << " |";
      if (v == table.reference) {
        out << " | |";
        continue;
      }
      out << " " << difference_text(result.against_reference(v, metric)) << " | "
          << p_text(corrected(result, metric)[v]) << " |";
    }
    std::string tests;
    if (v != table.reference) {
      for (const auto& [seed, test] : mcnemar_by_seed(result, v)) {
        tests += (tests.empty() ? "" : ", ") + p_text(test.p);
      }
    }
    out << " " << tests << " |" << (has_paper ? " " + table.variants[v].paper + " |" : "") << "\n";
  }
  out << "\nMean and standard deviation over the seeds, with the weights of the epoch that was best on the "
         "validation split. Differences to '"
      << reference
      << "' are paired by seed; intervals and p are Student's t, p corrected for the number of rows (Holm). "
         "McNemar's exact test compares the predictions of one seed. A difference whose interval holds 0 is "
         "no effect that these runs show.\n";
  return out.str();
}

std::string to_csv(const AblationResult& result) {
  std::ostringstream out;
  out << "table,variant,seed,parameters,seconds";
  const Figures names = result.cells.empty() ? Figures{} : figures_of(result.cells[0].best);
  for (const auto& [name, value] : names) out << "," << name;
  for (const auto& [name, value] : names) out << ",last_" << name;
  out << "\n";
  for (const AblationCell& cell : result.cells) {
    out << result.table.name << "," << result.table.variants[cell.variant].name << "," << cell.seed << ","
        << cell.parameters << "," << formatted("%.1f", cell.seconds);
    for (const EvaluationResult* evaluation : {&cell.best, &cell.last}) {
      for (const auto& [name, value] : figures_of(*evaluation)) {
        out << "," << (std::isnan(value) ? "" : formatted("%.6f", value));
      }
    }
    out << "\n";
  }
  return out.str();
}

std::string to_json(const AblationResult& result) {
  const AblationTable& table = result.table;
  Json variants = Json::array();
  for (std::size_t v = 0; v < table.variants.size(); ++v) {
    const AblationVariant& variant = table.variants[v];
    Json json{{"name", variant.name}, {"paper", variant.paper}, {"settings", Json::object()}};
    for (const auto& [key, value] : variant.settings) json["settings"][key] = value;
    Json cells = Json::array();
    for (const AblationCell& cell : result.cells) {
      if (cell.variant != v) continue;
      Json figures{{"seed", cell.seed}, {"parameters", cell.parameters}, {"seconds", cell.seconds}};
      for (const auto& [name, value] : figures_of(cell.best)) figures[name] = json_number(value);
      for (const auto& [name, value] : figures_of(cell.last)) figures["last_" + name] = json_number(value);
      cells.push_back(std::move(figures));
    }
    json["cells"] = std::move(cells);
    for (const std::string& metric : table.metrics) {
      const Spread s = spread(result.values(v, metric));
      json[metric] = {
          {"mean", json_number(s.mean)}, {"deviation", json_number(s.deviation)}, {"seeds", s.count}};
      if (v == table.reference) continue;
      const PairedComparison c = result.against_reference(v, metric);
      json[metric]["against_reference"] = {{"pairs", c.pairs},
                                           {"difference", json_number(c.difference)},
                                           {"deviation", json_number(c.deviation)},
                                           {"low", json_number(c.low)},
                                           {"high", json_number(c.high)},
                                           {"p", json_number(c.p)},
                                           {"p_corrected", json_number(corrected(result, metric)[v])}};
    }
    if (v != table.reference) {
      Json tests = Json::array();
      for (const auto& [seed, test] : mcnemar_by_seed(result, v)) {
        tests.push_back({{"seed", seed},
                         {"only_reference_right", test.only_first},
                         {"only_variant_right", test.only_second},
                         {"p", test.p}});
      }
      json["mcnemar"] = std::move(tests);
    }
    variants.push_back(std::move(json));
  }
  return json_document("ablation table", 1,
                       {{"table", table.name},
                        {"title", table.title},
                        {"reference", table.variants[table.reference].name},
                        {"test_split", result.test_split},
                        {"seeds", result.seeds},
                        {"variants", std::move(variants)},
                        {"configuration", Json::parse(to_json(result.config))}})
             .dump(2) +
         "\n";
}

}  // namespace fer
