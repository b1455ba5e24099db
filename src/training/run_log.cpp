#include "fer/training/run_log.h"

#include <cmath>

#include "formats/json_document.h"
#include "training/metrics_log.h"

namespace fer {
namespace {

/// JSON's null stands for NaN.
double figure(const Json& line, const char* key, const std::string& where) {
  return json_at(line, key, where).is_null() ? std::nan("") : json_at<double>(line, key, where);
}

StepReport step_of(const Json& line, const std::string& where) {
  StepReport report;
  report.stage = stage_name(json_at<std::string>(line, "stage", where));
  report.step = json_at<std::int64_t>(line, "step", where);
  report.epoch = json_at<std::int64_t>(line, "epoch", where);
  report.loss = figure(line, "loss", where);
  report.lr = figure(line, "lr", where);
  report.parts = figures_of_json(json_at(line, "parts", where));
  report.images_per_second = figure(line, "images_per_second", where);
  return report;
}

EpochReport epoch_of(const Json& line, const std::string& where) {
  EpochReport report;
  report.stage = stage_name(json_at<std::string>(line, "stage", where));
  report.step = json_at<std::int64_t>(line, "step", where);
  report.epoch = json_at<std::int64_t>(line, "epoch", where);
  report.train_loss = figure(line, "train_loss", where);
  report.lr = figure(line, "lr", where);
  report.seconds = figure(line, "seconds", where);
  report.images_per_second = figure(line, "images_per_second", where);
  report.waiting = figure(line, "waiting", where);
  report.best = json_at<bool>(line, "best", where);
  report.evaluation.figures = figures_of_json(json_at(line, "figures", where));
  return report;
}

}  // namespace

RunLog read_run(const std::filesystem::path& folder) {
  RunLog log;
  log.folder = folder;
  std::error_code error;
  require<IoError>(std::filesystem::exists(folder / "config.json", error), "'", folder.string(),
                   "' is no run folder: it holds no config.json");
  read_config(log.config, folder / "config.json");
  read_json_lines(folder / "metrics.jsonl",
                  [&log](std::string_view, const Json& line, const std::string& where) {
                    const std::string kind = json_at<std::string>(line, "kind", where);
                    if (kind == "head") require_document(line, "metrics", 1, where);
                    if (kind == "step") log.steps.push_back(step_of(line, where));
                    if (kind == "epoch") log.epochs.push_back(epoch_of(line, where));
                  });
  return log;
}

}  // namespace fer
