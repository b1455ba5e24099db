// metrics.jsonl: one JSON object per line. The first is {"document": "fer metrics", "version": 1, "kind":
// "head"}, the others {"kind": "step" | "epoch", "stage": Task::stage(), "step": n, ...}.
// Lines are appended and flushed. Resuming removes the lines after the checkpoint.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>

#include "fer/training/checkpoint.h"
#include "fer/training/loop.h"
#include "formats/json_text.h"

namespace fer {

class MetricsLog {
 public:
  explicit MetricsLog(std::filesystem::path path);
  void step(const StepReport& report);
  void epoch(const EpochReport& report);
  /// Removes the stage's lines for later steps, the line of an incomplete epoch, and a last line that a kill
  /// left incomplete.
  void keep_until(const std::string& stage, const Progress& progress);
  /// The figures of the stage's newest epoch line; empty if there is none.
  Figures last_epoch_figures(const std::string& stage) const;

 private:
  void append(const std::string& line);

  std::filesystem::path path_;
  std::ofstream out_;
};

/// The current name of a written stage: logs of earlier versions have "" for "classes" and "landmarks-" for
/// "landmarks".
std::string stage_name(std::string written);

std::string figures_to_json(const Figures& figures);
/// FormatError, naming `source`, unless `text` is an object. Values that are not numbers become NaN.
Figures figures_from_json(const std::string& text, const std::string& source);
Figures figures_of_json(const Json& object);

/// Calls `take` for each line with the line, its value (an object) and "PATH: line N". A last line without
/// its newline, left by a kill, is skipped if it is not JSON. FormatError, naming file and line, if any other
/// line is damaged.
void read_json_lines(
    const std::filesystem::path& path,
    const std::function<void(std::string_view line, const Json& value, const std::string& where)>& take);

}  // namespace fer
