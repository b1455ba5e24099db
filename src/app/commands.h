// The subcommands of the program, one file each. An adder declares flags; the returned function runs the
// command and gives the exit code: 0 done, 1 failed (a message says why), 2 wrong usage.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/usage.h"
#include "fer/tensor/device.h"
#include "fer/training/config.h"
#include "fer/training/evaluate.h"

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

/// The last parts of the paths, as many as tell them apart: "mine", or "none/seed-1" and "all/seed-1". For
/// captions, in which the rest of a path says nothing.
std::vector<std::string> distinct_names(const std::vector<std::string>& paths);

/// A whole file as text.
std::string read_text(const std::filesystem::path& path);

/// A check of flags whose numbers count things: digits alone. Elsewhere -1 becomes 2^64 - 1, and nothing 0.
const CLI::Validator& whole_number();

/// The words that --help and completion offer for a flag whose value the library checks.
CLI::Validator known_words(const std::vector<std::string>& words);
/// The same, and the flag takes no other word.
CLI::Validator one_of(const std::vector<std::string>& words);
/// Of --split.
const std::vector<std::string>& split_names();

/// Adds examples to the help of a command, behind what its footer says so far. Every command has some.
void add_examples(CLI::App& command, const std::vector<Example>& examples);

/// --device cpu|simt|cuda|cuda:N and --math native|library.
void add_device_flag(CLI::App& command, std::string& device);
/// The device, set to what --math says, or a DeviceError that says what to do.
Device checked_device(const std::string& text);

/// load_classifier(), and on the error stream what there is to say of the file.
Classifier load_and_note(const std::string& weights, Device device);

/// --precision float32|tf32|bf16.
void add_precision_flag(CLI::App& command, std::string& precision);
/// The device, set to the precision; ConfigError if there is no such precision, or the device does not have
/// it.
Device checked_device(const std::string& text, const std::string& precision);

/// A flag for every setting of RunConfig (--batch-size for batch_size) and --preset, or for those of some
/// sections; the values stay text until apply() gives them to a configuration. Defaults are shown unless the
/// configuration has others, such as those of a trained network.
class SettingFlags {
 public:
  explicit SettingFlags(CLI::App& command, const std::vector<std::string>& sections = {},
                        bool show_defaults = true);
  void apply(RunConfig& config) const;
  /// The defaults, over them the settings of a JSON file (none: empty), over them the flags. Where these name
  /// weights to start from, the defaults are those of fine_tuning().
  RunConfig configuration(const std::string& file) const;
  /// ConfigError if --classes was given and the data set of `config` has another number of them.
  void check_classes(const RunConfig& config) const;

 private:
  struct Flag {
    std::string key, value;
    CLI::Option* option;
  };
  std::vector<std::unique_ptr<Flag>> flags_;
};

}  // namespace fer::app
