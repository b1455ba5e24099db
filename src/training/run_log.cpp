#include "fer/training/run_log.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fer/formats/atomic_file.h"
#include "training/metrics_log.h"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;

std::string contents(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

double number(const Json& line, const char* key) {
  return line.at(key).is_null() ? std::nan("") : line.at(key).get<double>();
}

StepReport step_of(const Json& line) {
  StepReport report;
  report.stage = stage_name(line.at("stage"));
  report.step = line.at("step");
  report.epoch = line.at("epoch");
  report.loss = number(line, "loss");
  report.lr = number(line, "lr");
  report.parts = figures_from_json(line.at("parts").dump());
  report.images_per_second = number(line, "images_per_second");
  return report;
}

EpochReport epoch_of(const Json& line) {
  EpochReport report;
  report.stage = stage_name(line.at("stage"));
  report.step = line.at("step");
  report.epoch = line.at("epoch");
  report.train_loss = number(line, "train_loss");
  report.lr = number(line, "lr");
  report.seconds = number(line, "seconds");
  report.images_per_second = number(line, "images_per_second");
  report.waiting = number(line, "waiting");
  report.best = line.at("best");
  report.evaluation.figures = figures_from_json(line.at("figures").dump());
  return report;
}

}  // namespace

RunLog read_run(const std::filesystem::path& folder) {
  RunLog log;
  log.folder = folder;
  std::error_code error;
  require<IoError>(std::filesystem::exists(folder / "config.json", error), "'", folder.string(),
                   "' is no run folder: it holds no config.json");
  apply_json(log.config, contents(folder / "config.json"), (folder / "config.json").string());
  const std::filesystem::path path = folder / "metrics.jsonl";
  const std::string text = contents(path);
  std::istringstream lines(text);
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const bool incomplete = lines.eof();  // no newline: the writer was killed in the middle of it
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (incomplete && json.is_discarded()) break;
    try {
      require<FormatError>(json.is_object(), path.string(), ": line ", number, " is not a JSON object");
      if (json.at("kind") == "step") log.steps.push_back(step_of(json));
      if (json.at("kind") == "epoch") log.epochs.push_back(epoch_of(json));
    } catch (const nlohmann::json::exception& damage) {
      throw FormatError(concat(path.string(), ": line ", number, ": ", damage.what()));
    }
  }
  return log;
}

}  // namespace fer
