// Product-cross dual attention (section 3.1): the landmark feature determines which parts of the image
// feature count.
//
//   f_lm N x h x w x Cl, f_img N x h x w x Ci
//     product (Eq. 1):    H = max over the channels of f_lm, f_fusion = H * f_img
//     tokens (Eq. 2):     linear embeddings to D channels, a learnt class token in front of each stream
//     cross (Eqs. 3-5):   blocks whose queries are the landmark tokens, keys and values the fusion tokens
//   -> the class token of the fusion stream, N x D
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "fer/layers/layers.h"

namespace fer {

/// How f_lm weights f_img: the paper's maximum, or the alternatives of Table 4 (conv: a 1x1 convolution with
/// bias from Cl to Ci channels).
enum class Heatmap { max, sum, abs_sum, conv };
std::string_view name_of(Heatmap kind);

struct DualAttentionConfig {
  std::int64_t dim = 768;      ///< D
  std::int64_t heads = 8;      ///< divides dim
  std::int64_t depth = 2;      ///< blocks
  std::int64_t mlp_ratio = 4;  ///< hidden width of the MLP over D
  Heatmap heatmap = Heatmap::max;
  bool product = true;  ///< off: f_fusion = f_img
  bool cross = true;    ///< off: queries from the fusion tokens, no landmark stream
  // Not in the equations, but in the public code of the POSTER family:
  bool pos_embed = false;   ///< learnt position embeddings, in both streams
  bool qkv_bias = false;    ///< biases in the projections to queries, keys and values
  bool pre_norm = false;    ///< layer norms on both streams before the attention
  bool final_norm = false;  ///< layer norm on the resulting class token
  bool se_gate = false;     ///< token * sigmoid(linear(relu(linear(token))))
  // Rates of dropout; the paper's "drop ratio 0.5" is all three.
  double drop_attention = 0.0;  ///< after the attention's output projection
  double drop_hidden = 0.0;     ///< after GELU
  double drop_mlp = 0.0;        ///< after the second layer of the MLP
  bool operator==(const DualAttentionConfig&) const = default;
};
/// ConfigError, naming the field, if a number is out of its range or heads does not divide dim.
void validate(const DualAttentionConfig& config);

/// Intermediate values of a forward pass, for figures.
struct AttentionTrace {
  bool full_last_block = false;   ///< set by the caller: compute all rows of the last block
  Tensor heat;                    ///< N x h x w x 1; N x h x w x Ci for `conv`; undefined without product
  Variable fused;                 ///< f_fusion, N x h x w x Ci
  std::vector<Tensor> attention;  ///< per block, N x heads x Tq x T: row q has the weights of all keys
};

class CrossAttentionBlock : public Module {
 public:
  explicit CrossAttentionBlock(const DualAttentionConfig& config);
  std::string describe() const override;

  /// t_fusion: N x T x D (keys, values, residual); t_query: N x T x D, or N x 1 x D for the class token
  /// alone. The result has as many rows as t_query and corresponds to the first rows of t_fusion. `weights`,
  /// if given, receives the attention weights, N x heads x Tq x T.
  Variable operator()(const Variable& t_fusion, const Variable& t_query, Tensor* weights = nullptr);

 private:
  /// Eq. 5.
  Variable finish(const Variable& attended, const Variable& residual);
  /// Eq. 4 for the queries q, N x Tq x D; keys and values are projections (Eq. 3) of f, N x T x D.
  Variable attend(const Variable& q, const Variable& f, Tensor* weights);
  /// The same for one query per sequence, without computing keys and values: a score is
  /// q . K f_t = (K^T q) . f_t, and the sum of a_t V f_t is V applied to the sum of a_t f_t. Both projections
  /// then work on one row instead of T, but a head's queries and sums have D columns instead of D / heads, so
  /// with many queries this would cost more.
  Variable attend_one(const Variable& q, const Variable& f);

  DualAttentionConfig config_;
  LayerNorm *norm_lm_ = nullptr, *norm1_ = nullptr;
  Linear *q_lm_, *k_fusion_, *v_fusion_, *proj_;
  LayerNorm* norm_;
  Linear *fc1_, *fc2_;
  Dropout *drop_attention_, *drop_hidden_, *drop_mlp_;
};

/// Blocks as children "0", "1", ... (PyTorch's ModuleList).
class BlockList : public Module {
 public:
  std::string describe() const override { return "BlockList"; }
  CrossAttentionBlock& append(const DualAttentionConfig& config) {
    return register_module<CrossAttentionBlock>(std::to_string(children().size()), config);
  }
};

class DualAttention : public Module {
 public:
  /// c_img, c_lm: channels of the two maps; pixels: h * w of the maps (position embeddings need it).
  DualAttention(std::int64_t c_img, std::int64_t c_lm, std::int64_t pixels,
                const DualAttentionConfig& config = {});
  std::string describe() const override;

  /// f_img: N x h x w x Ci, f_lm: N x h x w x Cl -> class token N x D. ShapeError if the maps differ in size.
  /// Only row 0 of the last block is used, so its other rows of queries, projection and MLP are not computed
  /// unless the trace asks for them. Forward and backward stay exact.
  Variable operator()(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace = nullptr);
  /// The first half, Eq. 1: f_fusion.
  Variable fuse(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace = nullptr);
  /// The second half, from f_fusion on.
  Variable attend(const Variable& fused, const Variable& f_lm, AttentionTrace* trace = nullptr);

  const DualAttentionConfig& config() const { return config_; }
  void set_checkpointing(bool on) { checkpointing_ = on; }

 private:
  /// A stream of tokens, Eq. 2: the embedding, the class token and the position embeddings.
  struct Stream {
    Linear* embedding = nullptr;
    Variable class_token, positions;  ///< 1 x 1 x D; 1 x T x D or undefined
  };
  Variable embed(const Variable& map, const Stream& stream);
  /// The class token's row of a stream before the first block: N x 1 x D, the same for every image.
  Variable class_row(const Variable& like, const Stream& stream);
  Variable run_block(std::size_t i, const Variable& t, const Variable& t_query, AttentionTrace* trace);
  Variable finish(const Variable& row);

  DualAttentionConfig config_;
  std::int64_t c_img_, c_lm_, pixels_;
  bool checkpointing_ = false;
  Conv2d* heatmap_conv_ = nullptr;
  Stream fusion_, landmarks_;  // landmarks_ only if `cross`
  BlockList* block_list_ = nullptr;
  std::vector<CrossAttentionBlock*> blocks_;
  LayerNorm* final_norm_ = nullptr;
  Linear *se_linear1_ = nullptr, *se_linear2_ = nullptr;
};

/// softmax(q k^T / sqrt(D / heads)), N x heads x Tq x T, for q: N x Tq x D and k: N x T x D; no gradient.
Tensor attention_weights(const Variable& q, const Variable& k, int heads);

}  // namespace fer
