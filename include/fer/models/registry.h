// The registry of networks: the names that `--model` takes, with their settings. To add a network, write its
// file, add its settings to ModelConfig::Settings, and give it a line in each list of registry.cpp.
//
//   fer::ModelConfig config = fer::model_config("resnet18");
//   config.set_classes(10);
//   std::unique_ptr<fer::Network> net = fer::make_network(config);
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "fer/models/network.h"
#include "fer/models/poster.h"
#include "fer/models/presets.h"
#include "fer/models/resnet.h"

namespace fer {

/// The settings of a network of any kind; FERNet's by default.
class ModelConfig {
 public:
  using Settings = std::variant<FERNetConfig, ResNetConfig, PosterConfig>;

  ModelConfig() = default;
  template <typename Config>
  requires std::is_constructible_v<Settings, Config> ModelConfig(Config settings)
      : settings_(std::move(settings)) {}

  const NetworkConfig& common() const;
  std::int64_t classes() const { return common().classes; }
  std::int64_t image_size() const { return common().image_size; }
  void set_classes(std::int64_t classes);
  void set_image_size(std::int64_t side);
  /// Side of the pictures that the network's backbones see; image_size() unless it reduces its images.
  std::int64_t backbone_size() const;
  /// Whether the network is made for faces; other networks classify whole pictures.
  bool for_faces() const;
  /// The settings of its landmark backbone; null if it has none.
  MobileFaceNetConfig* landmark_net();
  void switch_off_dropout();

  /// The settings if the network is of that kind; else null.
  template <typename Config>
  const Config* as() const {
    return std::get_if<Config>(&settings_);
  }
  template <typename Config>
  Config* as() {
    return std::get_if<Config>(&settings_);
  }
  bool same_kind(const ModelConfig& other) const { return settings_.index() == other.settings_.index(); }
  /// ConfigError if the network is not a FERNet.
  FERNetConfig& fernet();
  const FERNetConfig& fernet() const;

  /// Calls f with the settings of the network's kind.
  template <typename F>
  decltype(auto) visit(F&& f) {
    return std::visit(std::forward<F>(f), settings_);
  }
  template <typename F>
  decltype(auto) visit(F&& f) const {
    return std::visit(std::forward<F>(f), settings_);
  }
  bool operator==(const ModelConfig&) const = default;

 private:
  Settings settings_;
};

template <typename Visitor>
void visit_fields(ModelConfig& config, Visitor&& visitor) {
  config.visit([&](auto& settings) { visit_fields(settings, visitor); });
}

struct ModelEntry {
  std::string name;  ///< "resnet18"
  ModelConfig config;
};
/// All networks that have a name: FERNet's presets and the other models.
const std::vector<ModelEntry>& registered_models();
const std::vector<std::string>& model_names();
/// ConfigError, listing the names, for an unknown name.
ModelConfig model_config(std::string_view name);

/// ConfigError, naming the field, unless a network can be built from it.
void validate(const ModelConfig& config);
std::unique_ptr<Network> make_network(const ModelConfig& config);

}  // namespace fer
