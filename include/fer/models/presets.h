// The configuration of a FERNet, its presets, and one list of all its fields for files, flags and tables.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fer/models/dual_attention.h"
#include "fer/models/ir50.h"
#include "fer/models/mobile_face_net.h"
#include "fer/models/network.h"

namespace fer {

/// Of the parameters, only position embeddings depend on image_size.
struct FERNetConfig : NetworkConfig {
  static constexpr bool for_faces = true;
  MobileFaceNetConfig* landmark_net() { return &landmarks; }
  void switch_off_dropout() { attention.drop_attention = attention.drop_hidden = attention.drop_mlp = 0; }

  IRBackboneConfig image;
  MobileFaceNetConfig landmarks;
  DualAttentionConfig attention;
  /// Feed the landmark backbone RGB in [0, 1], as in its training, instead of the normalised image, as in the
  /// POSTER family.
  bool landmark_unit_input = false;
  bool operator==(const FERNetConfig&) const = default;
};

/// Calls visitor(name, field, help) for every field: bool, std::int64_t, double, std::vector<std::int64_t> or
/// Heatmap. Configuration files, command lines and tables are all generated from this list. `config` may be
/// const.
template <typename Config, typename Visitor>
requires std::is_same_v<std::remove_const_t<Config>, FERNetConfig>
void visit_fields(Config& config, Visitor&& visitor) {
  visitor("classes", config.classes, "number of expressions");
  visitor("image_size", config.image_size, "side of the square input image in pixels");
  visitor("stem", config.image.stem, "channels of the image backbone's stem");
  visitor("stem_stride", config.image.stem_stride, "stride of the stem");
  visitor("widths", config.image.widths, "channels of the image backbone's stages");
  visitor("units", config.image.units, "units of each stage");
  visitor("strides", config.image.strides, "stride of each stage's first unit");
  visitor("lm_width", config.landmarks.width,
          "width of the landmark backbone; its map has twice as many channels");
  visitor("lm_units", config.landmarks.units, "residual blocks of conv_3, conv_4 and conv_5");
  visitor("lm_head", config.landmarks.head, "keep the landmark backbone's head, which gives the 68 points");
  visitor("lm_outputs", config.landmarks.outputs, "coordinates that the landmark head gives");
  visitor("lm_unit_input", config.landmark_unit_input,
          "feed the landmark backbone RGB in [0, 1] instead of the normalised image");
  visitor("dim", config.attention.dim, "token width D");
  visitor("heads", config.attention.heads, "attention heads");
  visitor("depth", config.attention.depth, "attention blocks");
  visitor("mlp_ratio", config.attention.mlp_ratio, "hidden width of the MLP over D");
  visitor("heatmap", config.attention.heatmap, "max, sum, abs_sum or conv (Table 4)");
  visitor("product", config.attention.product, "dot-product attention, Eq. 1");
  visitor("cross", config.attention.cross, "queries from the landmark tokens, Eq. 3");
  visitor("pos_embed", config.attention.pos_embed, "learnt position embeddings");
  visitor("qkv_bias", config.attention.qkv_bias, "biases of queries, keys and values");
  visitor("pre_norm", config.attention.pre_norm, "layer norms in front of the attention");
  visitor("final_norm", config.attention.final_norm, "layer norm on the class token");
  visitor("se_gate", config.attention.se_gate, "gate on the class token");
  visitor("drop_attention", config.attention.drop_attention, "dropout after the attention's projection");
  visitor("drop_hidden", config.attention.drop_hidden, "dropout after GELU");
  visitor("drop_mlp", config.attention.drop_mlp, "dropout after the MLP");
}

/// The presets of FERNet. Dropout is the recipe's for paper and small, and 0 for tiny. ConfigError, listing the names, for an
/// unknown name.
///   paper             the equations, literally
///   paper_pretrained  Table 2's eight blocks of a pre-trained vision transformer
///   small             for training on a CPU
///   tiny              for tests
///   tiny_sum, tiny_abs_sum, tiny_no_product, tiny_no_cross, tiny_extras: tiny with switches
FERNetConfig preset(std::string_view name, std::int64_t classes = 7);
const std::vector<std::string>& preset_names();

/// ConfigError, naming the field, unless a FERNet can be built from it.
void validate(const FERNetConfig& config);

}  // namespace fer
