// The subcommands of the program, one file each. An adder declares the flags of a command. The function that
// it returns runs the command and returns the exit code: 0 done, 1 failed (a message says why), 2 wrong
// usage.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/usage.h"
#include "fer/inference/classifier.h"
#include "fer/tensor/device.h"
#include "fer/training/config.h"

namespace fer::app {

using Command = std::function<int()>;

Command add_train(CLI::App& program);
Command add_eval(CLI::App& program);
Command add_predict(CLI::App& program);
Command add_convert(CLI::App& program);
Command add_info(CLI::App& program);
Command add_gradcheck(CLI::App& program);
Command add_faces(CLI::App& program);
Command add_bench(CLI::App& program);
Command add_ablate(CLI::App& program);
Command add_figure(CLI::App& program);
Command add_report(CLI::App& program);
Command add_data(CLI::App& program);

/// The shortest endings of the paths that tell them apart: "mine", or "none/seed-1" and "all/seed-1". For
/// captions, where the rest of a path carries no information.
std::vector<std::string> distinct_names(const std::vector<std::string>& paths);

/// A whole file as text.
std::string read_text(const std::filesystem::path& path);

/// A check for flags that count things: only digits. Without it, -1 becomes 2^64 - 1, and an empty text 0.
const CLI::Validator& whole_number();

/// Words that --help and completion offer for a flag whose value the library checks.
CLI::Validator known_words(const std::vector<std::string>& words);
/// The same, but the flag accepts no other word.
CLI::Validator one_of(const std::vector<std::string>& words);
/// The words of --split.
const std::vector<std::string>& split_names();

/// Appends examples to the footer of a command's help. Every command has some.
void add_examples(CLI::App& command, const std::vector<Example>& examples);

/// --device cpu|simt|cuda|cuda:N and --math native|library.
void add_device_flag(CLI::App& command, std::string& device);
/// The device, after applying --math. DeviceError with advice if it is not available.
Device checked_device(const std::string& text);

/// load_classifier(); prints its notes about the file to the error stream.
Classifier load_and_note(const std::string& weights, Device device);

/// --precision float32|tf32|bf16.
void add_precision_flag(CLI::App& command, std::string& precision);
/// The device, after setting the precision. ConfigError for an unknown precision or one that the device
/// lacks.
Device checked_device(const std::string& text, const std::string& precision);

/// A flag for every setting of RunConfig (--batch-size for batch_size) and --preset, or only for the settings
/// of some sections. Values stay text until apply() sets them in a configuration. The help shows the
/// defaults, unless they come from elsewhere, such as from a trained network.
class SettingFlags {
 public:
  explicit SettingFlags(CLI::App& command, const std::vector<std::string>& sections = {},
                        bool show_defaults = true);
  void apply(RunConfig& config) const;
  /// The defaults, overridden by the settings of a JSON file (if `file` is not empty), overridden by the
  /// flags. If these name weights to start from, the defaults are those of fine_tuning().
  RunConfig configuration(const std::string& file) const;
  /// ConfigError if --classes was given and the data set of `config` has another number of classes.
  void check_classes(const RunConfig& config) const;

 private:
  struct Flag {
    std::string key, value;
    CLI::Option* option;
  };
  std::vector<std::unique_ptr<Flag>> flags_;
};

}  // namespace fer::app
