#include "fer/models/dual_attention.h"

#include <cmath>

#include "fer/autograd/ops.h"

namespace fer {
namespace {

constexpr Heatmap all_heatmaps[] = {Heatmap::max, Heatmap::sum, Heatmap::abs_sum, Heatmap::conv};

/// The kinds that have a kernel; conv is a layer.
HeatmapKind kernel_of(Heatmap kind) {
  switch (kind) {
    case Heatmap::sum:
      return HeatmapKind::sum;
    case Heatmap::abs_sum:
      return HeatmapKind::abs_sum;
    default:
      return HeatmapKind::max;
  }
}

/// N x T x D -> N x heads x T x D / heads.
Variable split_heads(const Variable& x, int heads) {
  return permute(reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2) / heads}), {0, 2, 1, 3});
}

/// Row 0 of each sequence, N x 1 x D.
Variable first_row(const Variable& t) {
  return slice(t, 1, 0, 1);
}

/// drop(layer(x)) + residual.
Variable add_residual(Linear& layer, Dropout& drop, const Variable& x, const Variable& residual) {
  return drop.is_active() ? fer::add(drop(layer(x)), residual) : layer.plus(x, residual);
}

}  // namespace

void validate(const DualAttentionConfig& config) {
  require<ConfigError>(config.dim >= 1, "dim must be 1 or more, got ", config.dim);
  require<ConfigError>(config.heads >= 1 && config.dim % config.heads == 0, "heads must divide dim; ",
                       config.heads, " does not divide ", config.dim);
  require<ConfigError>(config.depth >= 1, "depth must be 1 or more, got ", config.depth);
  require<ConfigError>(config.mlp_ratio >= 1, "mlp_ratio must be 1 or more, got ", config.mlp_ratio);
  const std::pair<std::string_view, double> rates[] = {{"drop_attention", config.drop_attention},
                                                       {"drop_hidden", config.drop_hidden},
                                                       {"drop_mlp", config.drop_mlp}};
  for (const auto& [field, rate] : rates) {
    require<ConfigError>(rate >= 0.0 && rate < 1.0, field, " must be in [0, 1), got ", rate);
  }
}

namespace {

/// For member initialisers: `config`, once it was found valid.
DualAttentionConfig checked(const DualAttentionConfig& config) {
  validate(config);
  return config;
}

}  // namespace

std::string_view name_of(Heatmap kind) {
  switch (kind) {
    case Heatmap::max:
      return "max";
    case Heatmap::sum:
      return "sum";
    case Heatmap::abs_sum:
      return "abs_sum";
    case Heatmap::conv:
      return "conv";
  }
  throw ConfigError("not a heat map");
}

Heatmap parse_heatmap(std::string_view text) {
  for (const Heatmap kind : all_heatmaps) {
    if (text == name_of(kind)) return kind;
  }
  throw ConfigError(concat("unknown heat map '", text, "'; known are max, sum, abs_sum, conv"));
}

Tensor attention_weights(const Variable& q, const Variable& k, int heads) {
  NoGrad no_grad;
  const double head_width = static_cast<double>(q.dim(2)) / heads;
  const Variable scores = matmul(split_heads(q, heads), transpose(split_heads(k, heads)));
  return softmax(scale(cast(scores, widened(scores.dtype())), 1.0 / std::sqrt(head_width))).value();
}

CrossAttentionBlock::CrossAttentionBlock(const DualAttentionConfig& config) : config_(checked(config)) {
  const std::int64_t dim = config.dim;
  if (config.pre_norm) {
    norm_lm_ = &add<LayerNorm>("norm_lm", dim);
    norm1_ = &add<LayerNorm>("norm1", dim);
  }
  q_lm_ = &add<Linear>("q_lm", dim, dim, config.qkv_bias);
  k_fusion_ = &add<Linear>("k_fusion", dim, dim, config.qkv_bias);
  v_fusion_ = &add<Linear>("v_fusion", dim, dim, config.qkv_bias);
  proj_ = &add<Linear>("proj", dim, dim);
  norm_ = &add<LayerNorm>("norm", dim);
  fc1_ = &add<Linear>("fc1", dim, config.mlp_ratio * dim);
  fc2_ = &add<Linear>("fc2", config.mlp_ratio * dim, dim);
  drop_attention_ = &add<Dropout>("drop_attention", config.drop_attention);
  drop_hidden_ = &add<Dropout>("drop_hidden", config.drop_hidden);
  drop_mlp_ = &add<Dropout>("drop_mlp", config.drop_mlp);
}

std::string CrossAttentionBlock::describe() const {
  return concat("CrossAttentionBlock(", config_.dim, ", heads ", config_.heads, ", MLP ",
                config_.mlp_ratio * config_.dim, ")");
}

Variable CrossAttentionBlock::add_mlp(const Variable& t) {
  const Variable hidden = (*drop_hidden_)(fc1_->gelu((*norm_)(t)));
  return add_residual(*fc2_, *drop_mlp_, hidden, t);
}

Variable CrossAttentionBlock::operator()(const Variable& t_fusion, const Variable& t_query, Tensor* weights) {
  ModuleScope scope(name());
  const int heads = static_cast<int>(config_.heads);
  const Variable f = norm1_ ? (*norm1_)(t_fusion) : t_fusion;
  const Variable l = norm_lm_ ? (*norm_lm_)(t_query) : t_query;
  const Variable q = (*q_lm_)(l), k = (*k_fusion_)(f), v = (*v_fusion_)(f);  // Eq. 3
  if (weights) *weights = attention_weights(q, k, heads);
  const Variable attended = attention(q, k, v, heads);  // Eq. 4
  MacCounter::add(2 * q.shape().numel() * k.dim(1));    // q k^T and its product with v
  const Variable residual =
      t_query.dim(1) == t_fusion.dim(1) ? t_fusion : slice(t_fusion, 1, 0, t_query.dim(1));
  return add_mlp(add_residual(*proj_, *drop_attention_, attended, residual));  // Eq. 5
}

DualAttention::DualAttention(std::int64_t c_img, std::int64_t c_lm, std::int64_t pixels,
                             const DualAttentionConfig& config)
    : config_(checked(config)), c_img_(c_img), c_lm_(c_lm), pixels_(pixels) {
  const std::int64_t dim = config_.dim;
  fusion_class_ = add_parameter("fusion_class", {1, 1, dim}, Init::class_token);
  if (config_.cross) lm_class_ = add_parameter("lm_class", {1, 1, dim}, Init::class_token);
  if (config_.pos_embed) {
    pos_fusion_ = add_parameter("pos_fusion", {1, pixels + 1, dim}, Init::class_token);
    if (config_.cross) pos_lm_ = add_parameter("pos_lm", {1, pixels + 1, dim}, Init::class_token);
  }
  if (config_.heatmap == Heatmap::conv) {
    heatmap_conv_ = &add<Conv2d>("heatmap_conv", c_lm, c_img, Conv2dConfig{.kernel = 1, .bias = true});
  }
  embed_fusion_ = &add<Linear>("embed_fusion", c_img, dim);
  if (config_.cross) embed_lm_ = &add<Linear>("embed_lm", c_lm, dim);
  block_list_ = &add<BlockList>("blocks");
  for (std::int64_t i = 0; i < config_.depth; ++i) blocks_.push_back(&block_list_->append(config_));
  if (config_.final_norm) final_norm_ = &add<LayerNorm>("final_norm", dim);
  if (config_.se_gate) {
    se_linear1_ = &add<Linear>("se_linear1", dim, dim);
    se_linear2_ = &add<Linear>("se_linear2", dim, dim);
  }
}

std::string DualAttention::describe() const {
  return concat("DualAttention(",
                config_.product ? concat("product ", name_of(config_.heatmap)) : "no product",
                config_.cross ? ", cross" : ", no cross", ", ", config_.depth, " blocks)");
}

Variable DualAttention::operator()(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace) {
  return attend(fuse(f_img, f_lm, trace), f_lm, trace);
}

Variable DualAttention::fuse(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace) {
  ModuleScope scope(name());
  require<ShapeError>(f_img.rank() == 4 && f_img.dim(3) == c_img_,
                      "[dual_attention] needs f_img N x h x w x ", c_img_, ", got ", f_img.shape());
  require<ShapeError>(f_lm.rank() == 4 && f_lm.dim(3) == c_lm_, "[dual_attention] needs f_lm N x h x w x ",
                      c_lm_, ", got ", f_lm.shape());
  require<ShapeError>(
      f_img.dim(0) == f_lm.dim(0) && f_img.dim(1) == f_lm.dim(1) && f_img.dim(2) == f_lm.dim(2),
      "[dual_attention] f_img ", f_img.shape(), " and f_lm ", f_lm.shape(), " differ in batch or size");
  if (!config_.product) return f_img;
  if (heatmap_conv_) {
    const Variable heat = (*heatmap_conv_)(f_lm);
    if (trace) trace->heat = heat.value();
    return mul(heat, f_img);
  }
  const HeatmapKind kind = kernel_of(config_.heatmap);
  if (trace) {
    NoGrad no_grad;
    trace->heat = heatmap(f_lm, kind).value();
  }
  return heatmap_product(f_lm, f_img, kind);  // Eq. 1
}

Variable DualAttention::embed(const Variable& map, Linear& layer, const Variable& class_token,
                              const Variable& positions) {
  const std::int64_t n = map.dim(0), pixels = map.dim(1) * map.dim(2);
  const Variable pixel_tokens = layer(reshape(map, {n, pixels, map.dim(3)}));
  const auto as_tokens = [&](const Variable& learnt) { return cast(learnt, pixel_tokens.dtype()); };
  Variable t = concat({broadcast_to(as_tokens(class_token), {n, 1, config_.dim}), pixel_tokens}, 1);
  if (!positions.defined()) return t;
  require<ShapeError>(pixels == pixels_, "[dual_attention] has position embeddings for ", pixels_,
                      " pixels, the map has ", pixels, "; image_size must be that of the images");
  return fer::add(t, as_tokens(positions));
}

Variable DualAttention::run_block(std::size_t i, const Variable& t, const Variable& t_query,
                                  AttentionTrace* trace) {
  ModuleScope scope(block_list_->name());
  CrossAttentionBlock& block = *blocks_[i];
  if (trace) {
    trace->attention.emplace_back();
    return block(t, t_query, &trace->attention.back());
  }
  if (!checkpointing_) return block(t, t_query);
  return checkpoint([&block](const std::vector<Variable>& in) { return block(in[0], in[1]); }, {t, t_query});
}

Variable DualAttention::finish(const Variable& row) {
  Variable token = reshape(row, {row.dim(0), config_.dim});
  if (final_norm_) token = (*final_norm_)(token);
  if (!se_linear1_) return token;
  return mul(token, sigmoid((*se_linear2_)(relu((*se_linear1_)(token)))));
}

Variable DualAttention::attend(const Variable& fused, const Variable& f_lm, AttentionTrace* trace) {
  ModuleScope scope(name());
  if (trace) {
    trace->fused = fused;
    trace->attention.clear();
  }
  Variable t = embed(fused, *embed_fusion_, fusion_class_, pos_fusion_);  // Eq. 2
  const Variable t_lm = config_.cross ? embed(f_lm, *embed_lm_, lm_class_, pos_lm_) : Variable();
  const std::size_t last = blocks_.size() - 1;
  for (std::size_t i = 0; i < last; ++i) t = run_block(i, t, config_.cross ? t_lm : t, trace);
  const Variable queries = config_.cross ? t_lm : t;
  const bool all_rows = trace && trace->full_last_block;
  const Variable out = run_block(last, t, all_rows ? queries : first_row(queries), trace);
  return finish(all_rows ? first_row(out) : out);
}

}  // namespace fer
