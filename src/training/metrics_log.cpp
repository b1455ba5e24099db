#include "training/metrics_log.h"

#include <cerrno>
#include <cmath>
#include <cstring>

#include "fer/formats/atomic_file.h"
#include "formats/json_document.h"

namespace fer {
namespace {

// JSON has no NaN, so an undefined figure (recall of a class without samples) is null.
Json to_object(const Figures& figures) {
  Json object = Json::object();
  for (const auto& [name, value] : figures) object[name] = std::isfinite(value) ? Json(value) : Json(nullptr);
  return object;
}

}  // namespace

std::string stage_name(std::string written) {
  if (written.ends_with('-')) written.pop_back();
  return written.empty() ? main_stage : written;
}

std::string stage_prefix(const std::string& stage) {
  return stage == main_stage ? "" : stage + "-";
}

std::string figures_to_json(const Figures& figures) {
  return to_object(figures).dump();
}

Figures figures_of_json(const Json& object) {
  Figures figures;
  for (const auto& [name, value] : object.items()) {
    figures.emplace_back(name, value.is_number() ? value.get<double>() : std::nan(""));
  }
  return figures;
}

Figures figures_from_json(const std::string& text, const std::string& source) {
  const Json json = parse_json(text, source);
  require<FormatError>(json.is_object() || json.empty(), source, ": not a JSON object");
  return figures_of_json(json);
}

void read_json_lines(const std::filesystem::path& path,
                     const std::function<void(std::string_view, const Json&, const std::string&)>& take) {
  constexpr std::size_t most = std::size_t{1} << 30;
  const std::vector<std::byte> bytes = read_file(path, most);
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    const bool complete = end != std::string_view::npos;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(complete ? end + 1 : rest.size());
    const std::string where = concat(path.string(), ": line ", number);
    Json value;
    try {
      value = parse_json(line, where);
    } catch (const FormatError&) {
      if (complete) throw;
      return;
    }
    require<FormatError>(value.is_object(), where, " is not a JSON object");
    take(line, value, where);
  }
}

MetricsLog::MetricsLog(std::filesystem::path path) : path_(std::move(path)) {}

void MetricsLog::append(const std::string& line) {
  if (!out_.is_open()) {
    std::error_code none;
    const bool fresh = !std::filesystem::exists(path_, none) || std::filesystem::file_size(path_, none) == 0;
    out_.open(path_, std::ios::app);
    if (fresh) out_ << json_document("metrics", 1, {{"kind", "head"}}).dump() << "\n";
  }
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
  if (report.waiting_ranks > 0) line["waiting_ranks"] = report.waiting_ranks;
  line["figures"] = to_object(report.evaluation.figures);
  append(line.dump());
}

void MetricsLog::keep_until(const std::string& stage, const Progress& progress) {
  if (!std::filesystem::exists(path_)) return;
  std::string kept;
  read_json_lines(path_, [&](std::string_view line, const Json& value, const std::string& where) {
    const std::string kind = json_at<std::string>(value, "kind", where);
    const bool later = kind != "head" &&
                       (json_at<std::int64_t>(value, "step", where) > progress.step ||
                        (kind == "epoch" && json_at<std::int64_t>(value, "epoch", where) > progress.epoch));
    if (later && stage_name(json_at<std::string>(value, "stage", where)) == stage) return;
    kept.append(line) += '\n';
  });
  out_.close();
  write_file_atomically(path_, kept);
}

Figures MetricsLog::last_epoch_figures(const std::string& stage) const {
  Figures figures;
  if (!std::filesystem::exists(path_)) return figures;
  read_json_lines(path_, [&](std::string_view, const Json& value, const std::string& where) {
    if (json_at<std::string>(value, "kind", where) != "epoch") return;
    if (stage_name(json_at<std::string>(value, "stage", where)) != stage) return;
    figures = figures_of_json(json_at(value, "figures", where));
  });
  return figures;
}

}  // namespace fer
