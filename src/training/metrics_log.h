// metrics.jsonl: a JSON object a line, first {"document": "fer metrics", "version": 1, "kind": "head"}, then
// {"kind": "step" | "epoch", "stage": Task::stage(), "step": n, ...}.
// Lines are appended and flushed; resuming cuts off what lies after the checkpoint.
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
  /// Removes the stage's lines of later steps, that of an epoch which is not complete, and a last line that a
  /// kill left incomplete.
  void keep_until(const std::string& stage, const Progress& progress);
  /// The figures of the stage's newest epoch line; empty if there is none.
  Figures last_epoch_figures(const std::string& stage) const;

 private:
  void append(const std::string& line);

  std::filesystem::path path_;
  std::ofstream out_;
};

/// A line's stage as it was written: logs of earlier versions have "landmarks-" for "landmarks".
std::string stage_name(std::string written);

std::string figures_to_json(const Figures& figures);
/// FormatError, naming `source`, unless `text` is an object; what is no number in it is NaN.
Figures figures_from_json(const std::string& text, const std::string& source);
Figures figures_of_json(const Json& object);

/// Calls `take` with each line, its value, an object, and "PATH: line N". A last line without its end, which
/// a kill has left, is passed over where it is no JSON. FormatError, naming file and line, if another one is
/// damaged.
void read_json_lines(
    const std::filesystem::path& path,
    const std::function<void(std::string_view line, const Json& value, const std::string& where)>& take);

}  // namespace fer
