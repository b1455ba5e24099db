// The paper's tables: the same training with one thing changed, over several seeds, with what the differences
// are worth. A table is a grid of cells, variant by seed; each is a run of its own in a folder of its own, so
// an interrupted table goes on where it was, and seeds or variants can be added later.
//
//   fer::AblationTable table = fer::ablation_table("modules", {});
//   fer::AblationResult result = fer::run_ablation(table, config, {1, 2, 3}, "runs/modules", device,
//   observer); std::cout << fer::to_markdown(result);
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "fer/training/experiment.h"
#include "fer/training/statistics.h"

namespace fer {

struct AblationVariant {
  std::string name;  ///< "product + cross"
  std::vector<std::pair<std::string, std::string>>
      settings;       ///< keys and values as apply_setting() takes them
  std::string paper;  ///< what the paper reports, on RAF-DB with its own starting weights; may be empty
};

struct AblationTable {
  std::string name, title;
  std::vector<AblationVariant> variants;
  std::size_t reference = 0;         ///< the variant that the others are compared with
  std::vector<std::string> metrics;  ///< of figures_of(): the columns of the table
};

struct AblationOptions {
  std::string vit;  ///< depth: adds the variant that starts in this checkpoint of timm's
  std::vector<std::string> weights{"0.001", "0.01", "0.1"};  ///< loss: values of lambda for NeAA
};

/// "modules" (Table 1), "depth" (Table 2), "loss" (Table 3), "heatmap" (Table 4).
const std::vector<std::string>& ablation_names();
/// ConfigError, listing the names, for another one.
AblationTable ablation_table(const std::string& name, const AblationOptions& options);
/// The table with the named variants alone, and the reference. ConfigError, listing them, for an unknown
/// name.
AblationTable only_variants(AblationTable table, const std::vector<std::string>& names);

/// Figures by which runs are compared: accuracy, mean_class_accuracy, macro_f1, neutral_recall, neutral_f1
/// (NaN without a neutral class) and cross_entropy.
Figures figures_of(const EvaluationResult& result);

struct AblationCell {
  std::size_t variant = 0;
  std::uint64_t seed = 0;
  std::int64_t parameters = 0;
  double seconds = 0;
  EvaluationResult best, last;  ///< of the test split; last: without samples
};

struct AblationResult {
  AblationTable table;
  RunConfig config;
  std::vector<std::uint64_t> seeds;
  std::string test_split;
  std::vector<AblationCell> cells;  ///< those that are done, seed by seed

  /// Of a metric, by seed, in the order of the seeds that are done.
  std::vector<double> values(std::size_t variant, const std::string& metric) const;
  /// The variant less the reference, over the seeds that both have.
  PairedComparison against_reference(std::size_t variant, const std::string& metric) const;
};

/// Runs what is missing in `folder`; a cell that was cut short goes on at its newest checkpoint. The landmark
/// backbone is trained once, unless the configuration names one, and shared by all cells. After each cell
/// <table>.md, .csv and .json in `folder` say what is known so far. Of a finished cell the weights of its
/// best epoch and its predictions are kept. ConfigError, naming the setting, if the folder holds cells of
/// another configuration; IoError if somebody else is writing there (FolderLock).
AblationResult run_ablation(const AblationTable& table, const RunConfig& config,
                            const std::vector<std::uint64_t>& seeds, const std::filesystem::path& folder,
                            Device device, TrainingObserver& observer);

/// The folder of a cell: <folder>/<variant>/seed-<seed>, the variant's name in letters that any file system
/// takes.
std::filesystem::path cell_folder(const std::filesystem::path& folder, const AblationVariant& variant,
                                  std::uint64_t seed);

std::string to_markdown(const AblationResult& result);
/// A row a cell.
std::string to_csv(const AblationResult& result);
std::string to_json(const AblationResult& result);

}  // namespace fer
