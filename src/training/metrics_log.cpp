#include "training/metrics_log.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fer/formats/atomic_file.h"

namespace fer {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN: a figure that is not defined (recall of a class without samples) is null.
Json to_object(const Figures& figures) {
  Json object = Json::object();
  for (const auto& [name, value] : figures) object[name] = std::isfinite(value) ? Json(value) : Json(nullptr);
  return object;
}

Figures to_figures(const Json& object) {
  Figures figures;
  for (const auto& [name, value] : object.items()) {
    figures.emplace_back(name, value.is_number() ? value.get<double>() : std::nan(""));
  }
  return figures;
}

}  // namespace

std::string stage_name(std::string written) {
  if (written.ends_with('-')) written.pop_back();
  return written;
}

std::string figures_to_json(const Figures& figures) {
  return to_object(figures).dump();
}

Figures figures_from_json(const std::string& text) {
  return to_figures(Json::parse(text));
}

MetricsLog::MetricsLog(std::filesystem::path path) : path_(std::move(path)) {}

std::string MetricsLog::contents() const {
  const std::vector<std::byte> bytes = read_file(path_);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void MetricsLog::append(const std::string& line) {
  if (!out_.is_open()) out_.open(path_, std::ios::app);
  out_ << line << "\n";
  out_.flush();
  require<IoError>(out_.good(), "cannot write '", path_.string(), "': ", std::strerror(errno));
}

void MetricsLog::step(const StepReport& report) {
  Json line{{"kind", "step"},        {"stage", report.stage}, {"step", report.step},
            {"epoch", report.epoch}, {"loss", report.loss},   {"lr", report.lr}};
  line["parts"] = to_object(report.parts);
  line["images_per_second"] = report.images_per_second;
  append(line.dump());
}

void MetricsLog::epoch(const EpochReport& report) {
  Json line{{"kind", "epoch"},
            {"stage", report.stage},
            {"step", report.step},
            {"epoch", report.epoch},
            {"train_loss", report.train_loss},
            {"lr", report.lr},
            {"seconds", report.seconds},
            {"images_per_second", report.images_per_second},
            {"waiting", report.waiting},
            {"best", report.best}};
  line["figures"] = to_object(report.evaluation.figures);
  append(line.dump());
}

void MetricsLog::keep_until(const std::string& stage, const Progress& progress) {
  if (!std::filesystem::exists(path_)) return;
  std::istringstream lines(contents());
  std::string kept, line;
  while (std::getline(lines, line)) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded() || !json.contains("step")) continue;
    const bool later = json["step"].get<std::int64_t>() > progress.step ||
                       (json.value("kind", "") == "epoch" && json.value("epoch", 0) > progress.epoch);
    if (later && stage_name(json.value("stage", "")) == stage) continue;
    kept += line + "\n";
  }
  out_.close();
  write_file_atomically(path_, kept);
}

Figures MetricsLog::last_epoch_figures(const std::string& stage) const {
  Figures figures;
  if (!std::filesystem::exists(path_)) return figures;
  std::istringstream lines(contents());
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded() || json.value("kind", "") != "epoch" ||
        stage_name(json.value("stage", "")) != stage)
      continue;
    figures = to_figures(json["figures"]);
  }
  return figures;
}

}  // namespace fer
