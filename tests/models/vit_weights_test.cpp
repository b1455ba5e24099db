// A state dict in timm's layout is loaded into the right parameters of the attention module.
#include "fer/models/vit_weights.h"

#include <doctest/doctest.h>

#include <cmath>

namespace {

using fer::Shape;
using fer::StateDict;
using fer::Tensor;

Tensor counting(const Shape& shape, float start) {
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = start + 0.001f * static_cast<float>(i);
  return Tensor::from<float>(shape, values);
}

StateDict vit(std::int64_t dim, std::int64_t depth, std::int64_t ratio, std::int64_t tokens, bool bias) {
  StateDict dict;
  float start = 1;
  const auto add = [&](const std::string& name, const Shape& shape) {
    dict.insert(name, counting(shape, start++));
  };
  add("cls_token", {1, 1, dim});
  add("pos_embed", {1, tokens, dim});
  add("patch_embed.proj.weight", {dim, 4, 4, 3});
  add("patch_embed.proj.bias", {dim});
  for (std::int64_t i = 0; i < depth; ++i) {
    const std::string block = fer::concat("blocks.", i, ".");
    for (const char* norm : {"norm1.", "norm2."}) {
      add(block + norm + "weight", {dim});
      add(block + norm + "bias", {dim});
    }
    add(block + "attn.qkv.weight", {3 * dim, dim});
    if (bias) add(block + "attn.qkv.bias", {3 * dim});
    add(block + "attn.proj.weight", {dim, dim});
    add(block + "attn.proj.bias", {dim});
    add(block + "mlp.fc1.weight", {ratio * dim, dim});
    add(block + "mlp.fc1.bias", {ratio * dim});
    add(block + "mlp.fc2.weight", {dim, ratio * dim});
    add(block + "mlp.fc2.bias", {dim});
  }
  add("norm.weight", {dim});
  add("norm.bias", {dim});
  add("head.weight", {5, dim});
  add("head.bias", {5});
  return dict;
}

std::vector<float> parameter(fer::DualAttention& attention, const std::string& name) {
  for (const fer::NamedVariable& p : attention.named_parameters()) {
    if (p.name == name) return p.variable.value().to_vector<float>();
  }
  FAIL("no parameter " << name);
  return {};
}

}  // namespace

TEST_CASE("sizes and switches come from the file") {
  fer::DualAttentionConfig config;
  fer::adopt_vit_sizes(vit(128, 3, 2, 10, true), "vit.pth", config);
  CHECK(config.dim == 128);
  CHECK(config.depth == 3);
  CHECK(config.mlp_ratio == 2);
  CHECK(config.heads == 2);
  CHECK(config.qkv_bias);
  CHECK(config.pre_norm);
  CHECK(config.final_norm);
  CHECK(config.pos_embed);
}

TEST_CASE("every tensor of every block lands where it belongs; both streams start alike") {
  const StateDict file = vit(64, 2, 2, 10, true);
  fer::DualAttentionConfig config;
  fer::adopt_vit_sizes(file, "vit.pth", config);
  config.se_gate = true;
  fer::DualAttention attention(6, 5, 9, config);
  attention.initialise(1);
  const auto fresh = parameter(attention, "se_linear1.weight");
  const fer::MatchReport report = fer::load_vit(attention, file, "vit.pth");
  const auto values = [&](const char* name) { return file.at(name).to_vector<float>(); };
  const auto qkv = values("blocks.1.attn.qkv.weight");
  const auto third = static_cast<std::ptrdiff_t>(qkv.size() / 3);
  CHECK(parameter(attention, "blocks.1.q_lm.weight") == std::vector<float>(qkv.begin(), qkv.begin() + third));
  CHECK(parameter(attention, "blocks.1.k_fusion.weight") ==
        std::vector<float>(qkv.begin() + third, qkv.begin() + 2 * third));
  CHECK(parameter(attention, "blocks.1.v_fusion.weight") ==
        std::vector<float>(qkv.begin() + 2 * third, qkv.end()));
  const auto bias = values("blocks.0.attn.qkv.bias");
  CHECK(parameter(attention, "blocks.0.v_fusion.bias") == std::vector<float>(bias.begin() + 128, bias.end()));
  CHECK(parameter(attention, "blocks.0.norm_lm.weight") == values("blocks.0.norm1.weight"));
  CHECK(parameter(attention, "blocks.0.norm1.bias") == values("blocks.0.norm1.bias"));
  CHECK(parameter(attention, "blocks.0.norm.weight") == values("blocks.0.norm2.weight"));
  CHECK(parameter(attention, "blocks.0.fc1.weight") == values("blocks.0.mlp.fc1.weight"));
  CHECK(parameter(attention, "blocks.1.fc2.bias") == values("blocks.1.mlp.fc2.bias"));
  CHECK(parameter(attention, "blocks.1.proj.weight") == values("blocks.1.attn.proj.weight"));
  CHECK(parameter(attention, "fusion_class") == values("cls_token"));
  CHECK(parameter(attention, "lm_class") == values("cls_token"));
  CHECK(parameter(attention, "pos_lm") == values("pos_embed"));
  CHECK(parameter(attention, "final_norm.weight") == values("norm.weight"));
  CHECK(parameter(attention, "se_linear1.weight") == fresh);
  CHECK(report.text().find("left aside (the embedding of image patches): patch_embed.proj.weight") !=
        std::string::npos);
  CHECK(report.text().find("left aside (its classifier): head.weight, head.bias") != std::string::npos);
}

TEST_CASE("positions of another grid start fresh, with a note") {
  const StateDict file = vit(64, 1, 2, 50, true);
  fer::DualAttentionConfig config;
  fer::adopt_vit_sizes(file, "vit.pth", config);
  fer::DualAttention attention(6, 5, 9, config);
  attention.initialise(1);
  const auto before = parameter(attention, "pos_fusion");
  const fer::MatchReport report = fer::load_vit(attention, file, "vit.pth");
  CHECK(parameter(attention, "pos_fusion") == before);
  CHECK(report.text().find("positions of") != std::string::npos);
}

TEST_CASE("the queries of timm's first vit_small are scaled as its weights were trained") {
  const StateDict file = vit(768, 1, 3, 10, false);
  fer::DualAttentionConfig config;
  fer::adopt_vit_sizes(file, "vit.pth", config);
  CHECK(config.heads == 8);
  CHECK_FALSE(config.qkv_bias);
  fer::DualAttention attention(6, 5, 9, config);
  fer::load_vit(attention, file, "vit.pth");
  const float first = file.at("blocks.0.attn.qkv.weight").data<float>()[0];
  CHECK(parameter(attention, "blocks.0.q_lm.weight")[0] == doctest::Approx(first * std::sqrt(96.0 / 768)));
}

TEST_CASE("other files, and files with a tensor missing, are refused by name") {
  fer::DualAttentionConfig config;
  StateDict other;
  other.insert("conv1.weight", counting({2, 2}, 0));
  CHECK_THROWS_WITH_AS(fer::adopt_vit_sizes(other, "other.pth", config),
                       "other.pth: not a vision transformer of timm's: 'blocks.0.attn.qkv.weight' is missing",
                       fer::FormatError);
  const StateDict whole = vit(64, 2, 2, 10, true);
  StateDict damaged;
  for (const auto& [name, tensor] : whole) {
    if (name != "blocks.1.mlp.fc2.weight") damaged.insert(name, tensor);
  }
  fer::adopt_vit_sizes(damaged, "vit.pth", config);
  fer::DualAttention attention(6, 5, 9, config);
  CHECK_THROWS_WITH_AS(fer::load_vit(attention, damaged, "vit.pth"),
                       "vit.pth: 1 tensor is missing:\n  'blocks.1.fc2.weight'", fer::FormatError);
}
