// The paper's tables: the same training with one thing changed, over several seeds, with the significance of
// the differences. A table is a grid of cells, variant by seed. Each cell is a run in its own folder, so an
// interrupted table can be continued, and seeds or variants can be added later.
//
//   fer::AblationTable table = fer::ablation_table("modules", {});
//   fer::AblationResult result =
//       fer::run_ablation(table, config, {1, 2, 3}, "runs/modules", device, observer);
//   std::cout << fer::to_markdown(result);
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "fer/study/statistics.h"
#include "fer/training/experiment.h"

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
  std::vector<std::string> metrics;  ///< names from figures_of(): the columns of the table
};

struct AblationOptions {
  std::string vit;  ///< table "depth": adds the variant that starts from this checkpoint of timm
  std::vector<std::string> weights{"0.001", "0.01", "0.1"};  ///< table "loss": values of lambda for NeAA
};

/// "modules" (Table 1), "depth" (Table 2), "loss" (Table 3), "heatmap" (Table 4).
const std::vector<std::string>& ablation_names();
/// ConfigError, listing the names, for an unknown name.
AblationTable ablation_table(const std::string& name, const AblationOptions& options);
/// The table with only the named variants and the reference. ConfigError, listing the variants, for an
/// unknown name.
AblationTable only_variants(AblationTable table, const std::vector<std::string>& names);

/// The figures that runs are compared by: accuracy, mean_class_accuracy, macro_f1, neutral_recall, neutral_f1
/// (NaN without a neutral class) and cross_entropy.
Figures figures_of(const EvaluationResult& result);

struct AblationCell {
  std::size_t variant = 0;
  std::uint64_t seed = 0;
  std::int64_t parameters = 0;
  double seconds = 0;
  EvaluationResult best, last;  ///< on the test split; `last` has no samples
};

struct AblationResult {
  AblationTable table;
  RunConfig config;
  std::vector<std::uint64_t> seeds;
  std::string test_split;
  std::vector<AblationCell> cells;  ///< those that are done, seed by seed

  /// The values of a metric, one per finished seed, in the order of the seeds.
  std::vector<double> values(std::size_t variant, const std::string& metric) const;
  /// The variant minus the reference, over the seeds that both have.
  PairedComparison against_reference(std::size_t variant, const std::string& metric) const;
};

/// Runs the cells that are missing in `folder`; an interrupted cell resumes from its newest checkpoint. The
/// landmark backbone is trained once, unless the configuration names one, and shared by all cells. After each
/// cell, <table>.md, .csv and .json in `folder` are rewritten with the results so far. A finished cell keeps
/// the weights of its best epoch and its predictions. ConfigError, naming the setting, if the folder holds
/// cells of another configuration; IoError if another process is writing there (FolderLock). Several `ranks`
/// share each run; only rank 0 gets the cells of the result. All must reach `folder`.
AblationResult run_ablation(const AblationTable& table, const RunConfig& config,
                            const std::vector<std::uint64_t>& seeds, const std::filesystem::path& folder,
                            Device device, TrainingObserver& observer, Communicator& ranks = one_process());

/// The folder of a cell: <folder>/<variant>/seed-<seed>, with the variant's name reduced to characters that
/// every file system accepts.
std::filesystem::path cell_folder(const std::filesystem::path& folder, const AblationVariant& variant,
                                  std::uint64_t seed);

std::string to_markdown(const AblationResult& result);
/// One row per cell.
std::string to_csv(const AblationResult& result);
std::string to_json(const AblationResult& result);

}  // namespace fer
