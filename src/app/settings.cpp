// Flags that several commands share.
#include "app/commands.h"

#include <algorithm>
#include <charconv>
#include <iostream>
#include <limits>
#include <set>

#include "fer/formats/atomic_file.h"
#include "fer/nearest.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"
#include "fer/tensor/precision.h"
#include "fer/training/experiment.h"

namespace fer::app {
namespace {

std::string flag_name(std::string key) {
  if (key == "preset") return "--model,--preset";
  std::replace(key.begin(), key.end(), '_', '-');
  return "--" + key;
}

/// The value of --math; global, because a process runs only one command.
MathMode& chosen_math() {
  static MathMode mode = MathMode::native;
  return mode;
}

}  // namespace

std::string read_text(const std::filesystem::path& path) {
  const auto bytes = read_file(path, std::size_t{256} << 20);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::string> distinct_names(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> rest;
  std::vector<std::string> names(paths.size());
  rest.reserve(paths.size());
  for (const std::string& text : paths) {
    const std::filesystem::path path = std::filesystem::path(text).lexically_normal();
    rest.push_back(path.has_filename() ? path : path.parent_path());
  }
  for (bool alike = true; alike;) {
    bool longer = false;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (!rest[i].has_filename()) continue;
      names[i] = rest[i].filename().string() + (names[i].empty() ? "" : "/" + names[i]);
      rest[i] = rest[i].parent_path();
      longer = true;
    }
    alike = longer && std::set<std::string>(names.begin(), names.end()).size() < names.size();
  }
  return names;
}

const CLI::Validator& whole_number() {
  static const CLI::Validator validator(
      [](std::string& text) {
        std::uint64_t value = 0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && stop == end) return std::string();
        return concat("must be a whole number from 0 to ", std::numeric_limits<std::uint64_t>::max(),
                      ", got '", text, "'");
      },
      "", "whole number");
  return validator;
}

void add_device_flag(CLI::App& command, std::string& device) {
  command
      .add_option("--device", device,
                  "cpu, simt (the CUDA kernels, run on the CPU), cuda, or cuda:1 for a second GPU")
      ->check(known_words({"cpu", "simt", "cuda"}))
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--math", [](const std::string& text) { chosen_math() = parse_math_mode(text); },
          "products and convolutions on device cuda: native (fer's kernels) or library (cuBLAS, "
          "cuDNN)")
      ->check(one_of({"native", "library"}))
      ->default_str("native");
}

Device checked_device(const std::string& text) {
  const Device device = select_device(text);
  backend(device);
  set_math_mode(device, chosen_math());
  return device;
}

void add_precision_flag(CLI::App& command, std::string& precision) {
  command
      .add_option(
          "--precision", precision,
          "how products and convolutions multiply: float32, or tf32 or bf16 on tensor cores (simt, cuda)")
      ->check(known_words({"float32", "tf32", "bf16"}))
      ->capture_default_str();
}

Device checked_device(const std::string& text, const std::string& precision) {
  const Precision parsed = parse_precision(precision);
  const Device device = checked_device(text);
  set_precision(device, parsed);
  return device;
}

Classifier load_and_note(const std::string& weights, Device device) {
  Classifier classifier = load_classifier(weights, device);
  if (!classifier.note.empty()) std::cerr << classifier.note << std::endl;
  return classifier;
}

CLI::Validator known_words(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "{" : ",") + word;
  return CLI::Validator([](std::string&) { return std::string(); }, list + "}", "known words");
}

CLI::Validator one_of(const std::vector<std::string>& words) {
  CLI::Validator validator = known_words(words);
  validator.operation([words](std::string& text) {
    const bool known = std::find(words.begin(), words.end(), text) != words.end();
    return known ? std::string() : unknown_name("word", text, words);
  });
  return validator;
}

const std::vector<std::string>& split_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Split split :
         {Split::train, Split::validation, Split::test, Split::public_test, Split::private_test})
      all.emplace_back(name_of(split));
    return all;
  }();
  return names;
}

void add_examples(CLI::App& command, const std::vector<Example>& examples) {
  std::string text = command.get_footer();
  text += text.empty() ? "Examples:" : "\n\nExamples:";
  for (const Example& example : examples)
    text += "\n  " + example.command + (example.note.empty() ? "" : "  " + example.note);
  command.footer(text);
}

SettingFlags::SettingFlags(CLI::App& command, const std::vector<std::string>& sections, bool show_defaults) {
  const auto add = [&](const std::string& group, const SettingInfo& info, bool show_default) {
    auto flag = std::make_unique<Flag>();
    flag->key = info.key;
    // A switch may have no value: --overfit-batch means --overfit-batch true. With a default, CLI11 would use
    // that as the value.
    const bool is_switch = info.type == "BOOL";
    const bool in_text = is_switch && show_default;
    flag->option = command.add_option(flag_name(info.key), flag->value,
                                      in_text ? info.help + " [" + info.value + "]" : info.help);
    flag->option->group(group)->type_name(info.type)->take_last();  // the user's flag overrides a script's
    if (is_switch) flag->option->expected(0, 1);
    if (show_default && !is_switch) flag->option->default_str(info.value);
    if (!info.choices.empty()) flag->option->check(known_words(info.choices));
    flags_.push_back(std::move(flag));
  };
  const RunConfig defaults;
  bool has_preset = false;
  for (const SettingInfo& info : settings_of(defaults)) {
    if (!sections.empty() && std::find(sections.begin(), sections.end(), info.section) == sections.end())
      continue;
    const bool model = info.section == "model";
    const std::string group = model ? "model; its defaults are those of --model" : info.section;
    if (model && !has_preset) {
      add(group,
          {"", "preset",
           "small (a CPU), paper (the equations), tiny (tests) or a variant of these; poster (its "
           "rival); resnet18 for any pictures",
           defaults.preset, "TEXT", model_names()},
          true);
      has_preset = true;
    }
    add(group, info, show_defaults && !model);
  }
}

namespace {

/// The error in the settings; "" if there is none.
std::string problem_of(const RunConfig& config) {
  try {
    check(config);
    validate(config.model);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

RunConfig SettingFlags::configuration(const std::string& file) const {
  const std::string text = file.empty() ? "" : read_text(file);
  const auto overwritten = [&](RunConfig config) {
    if (!file.empty()) apply_json(config, text, file);
    const RunConfig from_file = config;
    apply(config);
    const std::string problem = problem_of(config);
    require<ConfigError>(file.empty() || problem.empty() || problem != problem_of(from_file), file, ": ",
                         problem);
    return config;
  };
  RunConfig defaults;
  defaults.model = model_config(defaults.preset);
  RunConfig config = overwritten(defaults);
  return config.training.init.empty() ? config : overwritten(fine_tuning(config.training.init));
}

void SettingFlags::check_classes(const RunConfig& config) const {
  const bool given = std::any_of(flags_.begin(), flags_.end(), [](const auto& flag) {
    return flag->key == "classes" && flag->option->count() > 0;
  });
  if (!given) return;
  const int classes = open_dataset(config.data)->classes();
  require<ConfigError>(config.model.classes() == classes, "--classes ", config.model.classes(),
                       " contradicts the data set '", config.data.name, "', which has ", classes,
                       "; the flag can be left out");
}

void SettingFlags::apply(RunConfig& config) const {
  // Apply the preset first: it resets settings that other model flags may change.
  for (const auto& flag : flags_) {
    if (flag->option->count() == 0) continue;
    const bool bare_switch = flag->option->get_expected_min() == 0 && flag->value.empty();
    apply_setting(config, flag->key, bare_switch ? "true" : flag->value, "command line");
  }
}

}  // namespace fer::app
