#include "fer/models/registry.h"

#include <algorithm>

#include "fer/error.h"
#include "fer/models/fernet.h"
#include "fer/nearest.h"

namespace fer {
namespace {

std::unique_ptr<Network> make(const FERNetConfig& config) {
  return std::make_unique<FERNet>(config);
}
std::unique_ptr<Network> make(const ResNetConfig& config) {
  return std::make_unique<ResNet>(config);
}
std::unique_ptr<Network> make(const PosterConfig& config) {
  return std::make_unique<Poster>(config);
}

std::vector<ModelEntry> make_entries() {
  std::vector<ModelEntry> entries;
  for (const std::string& name : preset_names()) entries.push_back({name, preset(name)});
  entries.push_back({"resnet18", ResNetConfig{}});
  entries.push_back({"poster", PosterConfig{}});
  entries.push_back({"poster_tiny", tiny_poster()});
  return entries;
}

}  // namespace

const NetworkConfig& ModelConfig::common() const {
  return visit([](const auto& settings) -> const NetworkConfig& { return settings; });
}

void ModelConfig::set_classes(std::int64_t classes) {
  visit([classes](auto& settings) { settings.classes = classes; });
}

void ModelConfig::set_image_size(std::int64_t side) {
  visit([side](auto& settings) { settings.image_size = side; });
}

std::int64_t ModelConfig::backbone_size() const {
  return visit([](const auto& settings) {
    if constexpr (requires { settings.backbone_size; }) return settings.backbone_size;
    return settings.image_size;
  });
}

bool ModelConfig::for_faces() const {
  return visit([](const auto& settings) { return std::decay_t<decltype(settings)>::for_faces; });
}

MobileFaceNetConfig* ModelConfig::landmark_net() {
  return visit([](auto& settings) { return settings.landmark_net(); });
}

void ModelConfig::switch_off_dropout() {
  visit([](auto& settings) { settings.switch_off_dropout(); });
}

FERNetConfig& ModelConfig::fernet() {
  return const_cast<FERNetConfig&>(std::as_const(*this).fernet());
}

const FERNetConfig& ModelConfig::fernet() const {
  const FERNetConfig* settings = as<FERNetConfig>();
  require<ConfigError>(settings != nullptr, "this needs a FERNet; the model is of another kind");
  return *settings;
}

const std::vector<ModelEntry>& registered_models() {
  static const std::vector<ModelEntry> entries = make_entries();
  return entries;
}

const std::vector<std::string>& model_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const ModelEntry& entry : registered_models()) all.push_back(entry.name);
    return all;
  }();
  return names;
}

ModelConfig model_config(std::string_view name) {
  const auto& all = registered_models();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const ModelEntry& entry) { return entry.name == name; });
  require<ConfigError>(found != all.end(), unknown_name("model", name, model_names()));
  return found->config;
}

void validate(const ModelConfig& config) {
  config.visit([](const auto& settings) { validate(settings); });
}

std::unique_ptr<Network> make_network(const ModelConfig& config) {
  return config.visit([](const auto& settings) { return make(settings); });
}

}  // namespace fer
