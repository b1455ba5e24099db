#include "training/resume_check.h"

#include <algorithm>
#include <map>

#include "fer/formats/safetensors.h"
#include "training/metrics_log.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

struct Reached {
  std::int64_t epoch = 0, step = 0;
};

/// How far each stage has come, according to the log.
std::map<std::string, Reached> stages_of(const fs::path& log) {
  std::map<std::string, Reached> stages;
  if (!is_there(log)) return stages;
  read_json_lines(log, [&](std::string_view, const Json& line, const std::string& where) {
    if (json_at<std::string>(line, "kind", where) == "head") return;
    Reached& reached = stages[stage_name(json_at<std::string>(line, "stage", where))];
    reached.epoch = std::max(reached.epoch, json_at<std::int64_t>(line, "epoch", where));
    reached.step = std::max(reached.step, json_at<std::int64_t>(line, "step", where));
  });
  return stages;
}

[[noreturn]] void cannot_resume(const fs::path& folder, const std::string& file, const std::string& why) {
  throw IoError(concat("cannot resume '", folder.string(), "': its ", file, " is missing, ", why,
                       "; copy it back, or start another run"));
}

}  // namespace

void require_resumable(const fs::path& folder) {
  const fs::path last = folder / "last.safetensors";
  if (is_there(last)) {
    const SafetensorsFile file(last);
    const auto progress = file.metadata().find("progress");
    const std::string where = last.string() + ": the counters of the checkpoint";
    const auto best =
        progress == file.metadata().end()
            ? 0
            : json_value<std::int64_t>(parse_json(progress->second, where), "best_epoch", 0, where);
    if (best > 0 && !is_there(folder / "best.safetensors")) {
      cannot_resume(folder, "best.safetensors", concat("the weights of its best epoch (", best, ")"));
    }
    return;
  }
  RunConfig written;
  if (is_there(folder / "config.json")) read_config(written, folder / "config.json");
  for (const auto& [stage, reached] : stages_of(folder / "metrics.jsonl")) {
    // Log entries beyond the first checkpoint prove that there was one.
    const std::int64_t every = written.training.save_every;
    const bool saved = reached.epoch > 1 || (every > 0 && reached.step > every);
    const std::string name = stage_prefix(stage) + "last.safetensors";
    if (saved && !is_there(folder / name)) {
      cannot_resume(folder, name,
                    concat("and metrics.jsonl goes to epoch ", reached.epoch, ", step ", reached.step));
    }
  }
}

}  // namespace fer
