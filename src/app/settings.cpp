// Flags that several commands share.
#include "app/commands.h"

#include <algorithm>

#include "fer/tensor/backend.h"

namespace fer::app {
namespace {

std::string flag_name(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return "--" + key;
}

}  // namespace

void add_device_flag(CLI::App& command, std::string& device) {
  command.add_option("--device", device, "cpu, simt (the CUDA kernels, run on the CPU) or cuda")
      ->capture_default_str();
}

Device checked_device(const std::string& text) {
  const Device device = parse_device(text);
  backend(device);
  return device;
}

SettingFlags::SettingFlags(CLI::App& command) {
  const auto add = [&](const std::string& section, const std::string& key, const std::string& help,
                       const std::string& value) {
    auto flag = std::make_unique<Flag>();
    flag->key = key;
    flag->option =
        command.add_option(flag_name(key), flag->value, help + (value.empty() ? "" : " [" + value + "]"));
    flag->option->group(section)->type_name("");
    flags_.push_back(std::move(flag));
  };
  add("model", "preset", "tiny, small, paper and their variants", "small");
  for (const SettingInfo& info : settings_of(RunConfig{})) add(info.section, info.key, info.help, info.value);
}

void SettingFlags::apply(RunConfig& config) const {
  // The preset comes first: it resets what the other flags of the model may change.
  for (const auto& flag : flags_) {
    if (flag->option->count() > 0) apply_setting(config, flag->key, flag->value, "command line");
  }
}

}  // namespace fer::app
