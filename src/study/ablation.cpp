#include "fer/study/ablation.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>
#include <set>

#include "fer/formats/atomic_file.h"
#include "fer/formats/folder_lock.h"
#include "formats/json_document.h"
#include "training/evaluation_json.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

Json read_object(const fs::path& path) {
  Json json = read_json(path);
  require<FormatError>(json.is_object(), path.string(), ": not a JSON object");
  return json;
}

/// What all cells of a folder have in common: the table's name and the configuration, without the seed.
Json identity(const AblationTable& table, const RunConfig& config) {
  Json json = Json::parse(to_json(config));
  json["training"].erase("seed");
  return json_document("ablation", 1, {{"table", table.name}, {"configuration", std::move(json)}});
}

/// Locks an empty folder, or one with cells of the same table, for this process.
FolderLock claim_folder(const fs::path& folder, const Json& wanted, TrainingObserver& observer) {
  const fs::path file = folder / "ablation.json";
  std::error_code error;
  fs::create_directories(folder, error);
  require<IoError>(!error, "cannot create the folder '", folder.string(), "': ", error.message());
  FolderLock lock(folder);
  if (!lock.missing().empty()) observer.on_note(lock.missing());
  if (!fs::exists(file, error)) {
    require<IoError>(fs::is_empty(folder, error), "the folder '", folder.string(),
                     "' is not empty and holds no table; name another one");
    write_file_atomically(file, wanted.dump(2) + "\n");
    return lock;
  }
  const Json found = read_object(file);
  require_document(found, "ablation", 1, file.string());
  const Json there = found.flatten(), here = wanted.flatten();
  for (const auto& [key, value] : here.items()) {
    const std::string name = key.substr(key.rfind('/') + 1);
    if ((name == "document" || name == "version") && !there.contains(key)) continue;  // older folders
    const Json other = there.contains(key) ? there[key] : Json(nullptr);
    require<ConfigError>(other == value, "the folder '", folder.string(),
                         "' holds cells of another table: ", key.substr(1), " is ", other.dump(),
                         " there and ", value.dump(), " here; name another folder");
  }
  return lock;
}

RunConfig cell_config(const RunConfig& base, const AblationVariant& variant, std::uint64_t seed) {
  RunConfig config = base;
  config.training.seed = seed;
  for (const auto& [key, value] : variant.settings) {
    apply_setting(config, key, value, concat("variant '", variant.name, "'"));
  }
  return config;
}

/// The configurations of the unfinished cells, one per variant.
std::vector<RunConfig> cells_to_run(const AblationTable& table, const RunConfig& base,
                                    const std::vector<std::uint64_t>& seeds, const fs::path& folder) {
  std::vector<RunConfig> configs;
  for (const AblationVariant& variant : table.variants) {
    const auto missing = std::find_if(seeds.begin(), seeds.end(), [&](std::uint64_t seed) {
      std::error_code error;
      return !fs::exists(cell_folder(folder, variant, seed) / "cell.json", error);
    });
    if (missing != seeds.end()) configs.push_back(cell_config(base, variant, *missing));
  }
  return configs;
}

Json settings_json(const AblationVariant& variant) {
  Json json = Json::object();
  for (const auto& [key, value] : variant.settings) json[key] = value;
  return json;
}

AblationCell read_cell(const fs::path& file, std::size_t index, const AblationVariant& variant,
                       std::uint64_t seed) {
  const Json json = read_object(file);
  const std::string source = file.string();
  require_document(json, "ablation cell", 1, source);
  const Json& settings = json_at(json, "settings", source);
  require<ConfigError>(settings == settings_json(variant), source,
                       ": this cell was run with other settings (", excerpt_of(settings),
                       "); name another folder");
  return {index,
          seed,
          json_at<std::int64_t>(json, "parameters", source),
          json_at<double>(json, "seconds", source),
          evaluation_of_json(json_at(json, "best", source), source),
          evaluation_of_json(json_at(json, "last", source), source)};
}

std::string read_test_split(const fs::path& file) {
  return json_value<std::string>(read_object(file), "test_split", "", file.string());
}

/// Trains a cell, or resumes it, and writes its cell.json.
void run_cell(const RunConfig& config, const AblationVariant& variant, const fs::path& folder, Device device,
              TrainingObserver& observer, Communicator& ranks) {
  std::error_code error;
  const bool writes = ranks.rank() == 0;
  const bool begun = ranks.agree(writes && fs::exists(folder / "config.json", error)) != 0;
  const ExperimentResult result = run_experiment(config, folder, begun, device, observer, ranks);
  if (!writes) return;
  const Json json = json_document("ablation cell", 1,
                                  {{"variant", variant.name},
                                   {"settings", settings_json(variant)},
                                   {"seed", config.training.seed},
                                   {"parameters", result.parameters},
                                   {"seconds", result.training.seconds},
                                   {"best_epoch", result.training.best_epoch},
                                   {"test_split", result.test_split},
                                   {"best", evaluation_json(result.best, true)},
                                   {"last", evaluation_json(result.last, true)}});
  write_file_atomically(folder / "cell.json", json.dump() + "\n");
  // The optimizer's state is twice as large as the weights, and a finished cell is never resumed.
  fs::remove(folder / "last.safetensors", error);
}

void write_tables(const AblationResult& result, const fs::path& folder) {
  write_file_atomically(folder / (result.table.name + ".md"), to_markdown(result));
  write_file_atomically(folder / (result.table.name + ".csv"), to_csv(result));
  write_file_atomically(folder / (result.table.name + ".json"), to_json(result));
}

}  // namespace

Figures figures_of(const EvaluationResult& result) {
  const ConfusionMatrix& c = result.confusion;
  const auto& names = c.class_names();
  const auto found = std::find(names.begin(), names.end(), "neutral");
  const int neutral = static_cast<int>(found - names.begin());
  const bool known = found != names.end();
  return {{"accuracy", c.accuracy()},
          {"mean_class_accuracy", c.mean_class_accuracy()},
          {"macro_f1", c.macro_f1()},
          {"neutral_recall", known ? c.recall(neutral) : std::nan("")},
          {"neutral_f1", known ? c.f1(neutral) : std::nan("")},
          {"cross_entropy", result.cross_entropy}};
}

fs::path cell_folder(const fs::path& folder, const AblationVariant& variant, std::uint64_t seed) {
  std::string name;
  for (const char c : variant.name) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '+' || c == '-';
    if (plain) name += c;
    if (c == ' ' && !name.empty() && name.back() != '+' && name.back() != '_') name += '_';
  }
  for (std::size_t at; (at = name.find("_+")) != std::string::npos;) name.erase(at, 1);
  return folder / name / concat("seed-", seed);
}

std::vector<double> AblationResult::values(std::size_t variant, const std::string& metric) const {
  std::vector<double> found;
  for (const AblationCell& cell : cells) {
    if (cell.variant != variant) continue;
    for (const auto& [name, value] : figures_of(cell.best)) {
      if (name == metric) found.push_back(value);
    }
  }
  return found;
}

PairedComparison AblationResult::against_reference(std::size_t variant, const std::string& metric) const {
  const auto value = [&](const AblationCell& cell) {
    for (const auto& [name, figure] : figures_of(cell.best)) {
      if (name == metric) return figure;
    }
    throw ConfigError(concat("unknown metric '", metric, "'"));
  };
  std::vector<double> a, b;
  for (const AblationCell& cell : cells) {
    if (cell.variant != variant) continue;
    for (const AblationCell& reference : cells) {
      if (reference.variant != table.reference || reference.seed != cell.seed) continue;
      a.push_back(value(reference));
      b.push_back(value(cell));
    }
  }
  return paired_comparison(a, b);
}

AblationResult run_ablation(const AblationTable& table, const RunConfig& config,
                            const std::vector<std::uint64_t>& seeds, const fs::path& folder, Device device,
                            TrainingObserver& observer, Communicator& ranks) {
  require<ConfigError>(!seeds.empty(), "a table needs one seed or more");
  require<ConfigError>(!table.variants.empty(), "a table needs one variant or more");
  // A repeated seed would count as two runs that agree.
  require<ConfigError>(std::set<std::uint64_t>(seeds.begin(), seeds.end()).size() == seeds.size(),
                       "a seed is named twice");
  std::set<fs::path> folders;
  for (const AblationVariant& variant : table.variants) {
    require<ConfigError>(folders.insert(cell_folder(folder, variant, seeds[0])).second, "the variant '",
                         variant.name, "' is named twice");
  }
  RunConfig base = config;
  for (const AblationVariant& variant : table.variants) check(cell_config(base, variant, seeds[0]));
  check_experiments(cells_to_run(table, base, seeds, folder));
  const bool writes = ranks.rank() == 0;
  std::optional<FolderLock> lock;
  if (writes) lock.emplace(claim_folder(folder, identity(table, base), observer));
  if (base.landmarks.file.empty())
    observer.on_note("backbones: trained on the landmarks of faces once, for all cells");
  base = train_backbones(base, folder / "backbones", device, observer, ranks);
  AblationResult result{table, config, seeds, "", {}};
  std::size_t number = 0;
  for (const std::uint64_t seed : seeds) {
    for (std::size_t i = 0; i < table.variants.size(); ++i) {
      const AblationVariant& variant = table.variants[i];
      const fs::path cell = cell_folder(folder, variant, seed);
      const std::string label = concat("cell ", ++number, " of ", seeds.size() * table.variants.size(), ": ",
                                       variant.name, ", seed ", seed);
      std::error_code error;
      const bool done = ranks.agree(writes && fs::exists(cell / "cell.json", error)) != 0;
      observer.on_note(label + (done ? ", done before" : ""));
      if (!done) run_cell(cell_config(base, variant, seed), variant, cell, device, observer, ranks);
      if (!writes) continue;
      result.cells.push_back(read_cell(cell / "cell.json", i, variant, seed));
      result.test_split = read_test_split(cell / "cell.json");
      write_tables(result, folder);
    }
  }
  return result;
}

}  // namespace fer
