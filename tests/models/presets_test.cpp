// Configurations: presets, the list of fields, and errors.
#include <set>

#include "fer/models/fernet.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

TEST_CASE("presets: every one makes a model, with the classes asked for") {
  for (const std::string& name : preset_names()) {
    CAPTURE(name);
    const FERNetConfig config = preset(name, 5);
    CHECK(config.classes == 5);
    validate(config);
  }
  CHECK_MESSAGE_OF(preset("papper"), ConfigError,
                   "unknown preset 'papper'; known are paper, paper_pretrained, small, tiny, tiny_sum, "
                   "tiny_abs_sum, tiny_no_product, tiny_no_cross, tiny_extras; did you mean 'paper'?");
}

TEST_CASE("presets: paper is the equations, with the recipe's dropout") {
  const FERNetConfig config = preset("paper");
  CHECK(config.image == IRBackboneConfig{});
  CHECK(config.attention.drop_attention == 0.5);
  CHECK(config.attention.drop_hidden == 0.5);
  CHECK(config.attention.drop_mlp == 0.5);
  DualAttentionConfig without = config.attention;
  without.drop_attention = without.drop_hidden = without.drop_mlp = 0;
  CHECK(without == DualAttentionConfig{});
}

/// Changes a field of any type.
struct Change {
  std::string wanted;
  void operator()(const char* name, bool& field, const char*) const { change(name, field, !field); }
  void operator()(const char* name, std::int64_t& field, const char*) const {
    change(name, field, field + 1);
  }
  void operator()(const char* name, double& field, const char*) const { change(name, field, field + 0.25); }
  void operator()(const char* name, Heatmap& field, const char*) const { change(name, field, Heatmap::sum); }
  void operator()(const char* name, std::vector<std::int64_t>& field, const char*) const {
    std::vector<std::int64_t> longer = field;
    longer.push_back(1);
    change(name, field, longer);
  }
  template <typename T>
  void change(const char* name, T& field, const T& value) const {
    if (name == wanted) field = value;
  }
};

TEST_CASE("presets: the list of fields reaches every part of the configuration") {
  const FERNetConfig base = preset("paper");
  std::vector<std::string> names;
  visit_fields(base, [&](const char* name, const auto&, const char* help) {
    names.emplace_back(name);
    CHECK(std::string(help).size() > 5);
  });
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  for (const std::string& name : names) {
    CAPTURE(name);
    FERNetConfig changed = base;
    visit_fields(changed, Change{name});
    CHECK_FALSE(changed == base);
  }
  // All fields copied one by one make an equal configuration: none is missing from the list.
  FERNetConfig copy = preset("tiny_extras", 3);
  FERNetConfig source = preset("small", 8);
  source.landmark_unit_input = true;
  source.image_size = 96;
  source.landmarks.outputs = 10;
  source.attention.se_gate = !copy.attention.se_gate;
  source.attention.drop_hidden = 0.2;
  source.attention.drop_mlp = 0.3;
  source.attention.depth = 3;
  visit_fields(source, [&](const char* name, const auto& from, const char*) {
    visit_fields(copy, [&](const char* other, auto& to, const char*) {
      if constexpr (std::is_same_v<std::decay_t<decltype(from)>, std::decay_t<decltype(to)>>) {
        if (std::string(name) == other) to = from;
      }
    });
  });
  CHECK(copy == source);
}

template <typename F>
FERNetConfig changed(F change) {
  FERNetConfig config = preset("tiny");
  change(config);
  return config;
}

TEST_CASE("presets: errors") {
  CHECK_MESSAGE_OF(
      FERNet(changed([](auto& c) {
        c.image.strides = {2, 2, 1};
      })),
      ConfigError,
      "stem_stride and strides multiply to 4; both maps must have the same size, and a side of the "
      "landmark backbone's is an 8th of the image's");
  CHECK_MESSAGE_OF(
      FERNet(changed([](auto& c) {
        c.image.units = {1, 1};
      })),
      ConfigError,
      "widths, units and strides of the image backbone need one entry per stage each; they have 3, 2 "
      "and 3 entries");
  CHECK_MESSAGE_OF(FERNet(changed([](auto& c) { c.image.widths[1] = 0; })), ConfigError,
                   "widths must be 1 or more, got 0");
  CHECK_MESSAGE_OF(FERNet(changed([](auto& c) { c.attention.heads = 5; })), ConfigError,
                   "heads must divide dim; 5 does not divide 48");
  CHECK_MESSAGE_OF(FERNet(changed([](auto& c) { c.attention.depth = 0; })), ConfigError,
                   "depth must be 1 or more, got 0");
  CHECK_MESSAGE_OF(FERNet(changed([](auto& c) { c.attention.drop_mlp = 1; })), ConfigError,
                   "drop_mlp must be in [0, 1), got 1");
  CHECK_MESSAGE_OF(FERNet(changed([](auto& c) { c.landmarks.units = {1}; })), ConfigError,
                   "lm_units needs three entries, the residual blocks of conv_3, conv_4 and conv_5; got 1");
  CHECK_MESSAGE_OF(FERNet(changed([](auto& c) { c.classes = 0; })), ConfigError,
                   "classes must be 1 or more, got 0");
}

}  // namespace
}  // namespace fer
