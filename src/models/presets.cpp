#include "fer/models/presets.h"

#include <algorithm>

#include "fer/error.h"
#include "fer/nearest.h"
#include "models/size_checks.h"

namespace fer {
namespace {

void set_dropout(FERNetConfig& config, double rate) {
  config.attention.drop_attention = config.attention.drop_hidden = config.attention.drop_mlp = rate;
}

FERNetConfig paper() {
  FERNetConfig config;  // the defaults are the equations
  set_dropout(config, 0.5);
  return config;
}

/// Table 2's variant: starts from a ViT of timm, 768 wide with 8 heads and 8 blocks.
FERNetConfig paper_pretrained() {
  FERNetConfig config = paper();
  config.attention.depth = 8;
  config.attention.mlp_ratio = 3;
  config.attention.pos_embed = config.attention.pre_norm = config.attention.final_norm = true;
  config.attention.se_gate = true;
  return config;
}

/// For training on two CPU cores within an hour; docs/model.md has the measurements behind it.
FERNetConfig small() {
  FERNetConfig config;
  config.image = {
      .stem = 16, .stem_stride = 2, .widths = {24, 48, 96}, .units = {1, 2, 1}, .strides = {2, 2, 1}};
  config.landmarks.width = 32;
  config.landmarks.head = true;
  DualAttentionConfig& attention = config.attention;
  attention.dim = 96;
  attention.heads = 4;
  attention.mlp_ratio = 2;
  attention.pos_embed = attention.qkv_bias = attention.pre_norm = attention.final_norm = true;
  set_dropout(config, 0.1);
  return config;
}

FERNetConfig tiny() {
  FERNetConfig config;
  config.image = {
      .stem = 16, .stem_stride = 1, .widths = {16, 32, 64}, .units = {1, 1, 2}, .strides = {2, 2, 2}};
  config.landmarks = {.width = 8, .units = {1, 1, 1}, .head = false, .outputs = 136};
  config.attention.dim = 48;
  config.attention.heads = 4;
  return config;
}

FERNetConfig tiny_heatmap(Heatmap kind) {
  FERNetConfig config = tiny();
  config.attention.heatmap = kind;
  return config;
}

FERNetConfig tiny_no_product() {
  FERNetConfig config = tiny();
  config.attention.product = false;
  return config;
}

FERNetConfig tiny_no_cross() {
  FERNetConfig config = tiny();
  config.attention.cross = false;
  return config;
}

FERNetConfig tiny_extras() {
  FERNetConfig config = tiny_heatmap(Heatmap::conv);
  DualAttentionConfig& attention = config.attention;
  attention.pos_embed = attention.qkv_bias = attention.pre_norm = attention.final_norm = attention.se_gate =
      true;
  return config;
}

struct Preset {
  std::string name;
  FERNetConfig config;
};

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all{
      {"paper", paper()},
      {"paper_pretrained", paper_pretrained()},
      {"small", small()},
      {"tiny", tiny()},
      {"tiny_sum", tiny_heatmap(Heatmap::sum)},
      {"tiny_abs_sum", tiny_heatmap(Heatmap::abs_sum)},
      {"tiny_no_product", tiny_no_product()},
      {"tiny_no_cross", tiny_no_cross()},
      {"tiny_extras", tiny_extras()},
  };
  return all;
}

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Preset& entry : presets()) all.push_back(entry.name);
    return all;
  }();
  return names;
}

FERNetConfig preset(std::string_view name, std::int64_t classes) {
  const auto found = std::find_if(presets().begin(), presets().end(),
                                  [&](const Preset& entry) { return entry.name == name; });
  require<ConfigError>(found != presets().end(), unknown_name("preset", name, preset_names()));
  FERNetConfig config = found->config;
  config.classes = classes;
  return config;
}

void validate(const FERNetConfig& config) {
  validate(config.image);
  validate(config.landmarks);
  validate(config.attention);
  detail::require_size("classes", config.classes, detail::most_channels);
  require<ConfigError>(config.image_size >= 8, "image_size must be 8 or more, got ", config.image_size);
  detail::require_size("image_size", config.image_size, detail::most_pixels);
  std::int64_t stride = config.image.stem_stride;
  for (const std::int64_t s : config.image.strides) stride *= s;
  require<ConfigError>(
      stride == 8, "stem_stride and strides multiply to ", stride,
      "; both maps must have the same size, and a side of the landmark backbone's is an 8th of the image's");
}

}  // namespace fer
