#include "fer/models/dual_attention.h"

#include <cmath>

#include "fer/autograd/ops.h"
#include "fer/nearest.h"
#include "models/size_checks.h"

namespace fer {
namespace {

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

/// Splits the weight of a linear layer with D outputs by head: heads x D / heads x I.
Variable by_head(const Variable& weight, int heads, DType dtype) {
  return cast(reshape(weight, {heads, weight.dim(0) / heads, weight.dim(1)}), dtype);
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
  detail::require_size("dim", config.dim, detail::most_channels);
  require<ConfigError>(config.heads >= 1 && config.dim % config.heads == 0, "heads must divide dim; ",
                       config.heads, " does not divide ", config.dim);
  detail::require_size("depth", config.depth, detail::most_units);
  detail::require_size("mlp_ratio", config.mlp_ratio, detail::most_ratio);
  const std::pair<std::string_view, double> rates[] = {{"drop_attention", config.drop_attention},
                                                       {"drop_hidden", config.drop_hidden},
                                                       {"drop_mlp", config.drop_mlp}};
  for (const auto& [field, rate] : rates) {
    require<ConfigError>(rate >= 0.0 && rate < 1.0, field, " must be in [0, 1), got ", rate);
  }
}

namespace {

/// For member initialisers: returns `config` after checking it.
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

Tensor attention_weights(const Variable& q, const Variable& k, int heads) {
  NoGrad no_grad;
  const double head_width = static_cast<double>(q.dim(2)) / heads;
  const Variable scores = matmul(split_heads(q, heads), transpose(split_heads(k, heads)));
  return softmax(scale(cast(scores, widened(scores.dtype())), 1.0 / std::sqrt(head_width))).value();
}

CrossAttentionBlock::CrossAttentionBlock(const DualAttentionConfig& config) : config_(checked(config)) {
  const std::int64_t dim = config.dim;
  if (config.pre_norm) {
    norm_lm_ = &register_module<LayerNorm>("norm_lm", dim);
    norm1_ = &register_module<LayerNorm>("norm1", dim);
  }
  q_lm_ = &register_module<Linear>("q_lm", dim, dim, config.qkv_bias);
  k_fusion_ = &register_module<Linear>("k_fusion", dim, dim, config.qkv_bias);
  v_fusion_ = &register_module<Linear>("v_fusion", dim, dim, config.qkv_bias);
  proj_ = &register_module<Linear>("proj", dim, dim);
  norm_ = &register_module<LayerNorm>("norm", dim);
  fc1_ = &register_module<Linear>("fc1", dim, config.mlp_ratio * dim);
  fc2_ = &register_module<Linear>("fc2", config.mlp_ratio * dim, dim);
  drop_attention_ = &register_module<Dropout>("drop_attention", config.drop_attention);
  drop_hidden_ = &register_module<Dropout>("drop_hidden", config.drop_hidden);
  drop_mlp_ = &register_module<Dropout>("drop_mlp", config.drop_mlp);
}

std::string CrossAttentionBlock::describe() const {
  return concat("CrossAttentionBlock(", config_.dim, ", heads ", config_.heads, ", MLP ",
                config_.mlp_ratio * config_.dim, ")");
}

Variable CrossAttentionBlock::finish(const Variable& attended, const Variable& residual) {
  const Variable t = add_residual(*proj_, *drop_attention_, attended, residual);
  const Variable hidden = (*drop_hidden_)(fc1_->gelu((*norm_)(t)));
  return add_residual(*fc2_, *drop_mlp_, hidden, t);
}

Variable CrossAttentionBlock::attend(const Variable& q, const Variable& f, Tensor* weights) {
  if (q.dim(1) == 1 && !weights) return attend_one(q, f);
  const int heads = static_cast<int>(config_.heads);
  const Variable k = (*k_fusion_)(f), v = (*v_fusion_)(f);  // Eq. 3
  if (weights) *weights = attention_weights(q, k, heads);
  return attention(q, k, v, heads);  // Eq. 4
}

Variable CrossAttentionBlock::attend_one(const Variable& q, const Variable& f) {
  const std::int64_t n = f.dim(0), dim = f.dim(2), width = dim / config_.heads;
  const int heads = static_cast<int>(config_.heads);
  const Variable k_weight = by_head(k_fusion_->weight, heads, q.dtype());
  const Variable v_weight = by_head(v_fusion_->weight, heads, q.dtype());
  const Variable q_heads = permute(reshape(q, {n, heads, width}), {1, 0, 2});

  const Variable key_query = permute(matmul(q_heads, k_weight), {1, 0, 2});  // K_h^T q_h: N x heads x D
  Variable scores = transpose(matmul(f, transpose(key_query)));              // N x heads x T
  scores = cast(scores, widened(scores.dtype()));
  if (k_fusion_->bias.defined()) {
    const Variable products = mul(q, cast(k_fusion_->bias, q.dtype()));
    const Variable by_width = reshape(products, {n, heads, width});
    scores = fer::add(scores, cast(sum_to(by_width, {n, heads, 1}), scores.dtype()));
  }
  const Variable weights = softmax(scale(scores, 1.0 / std::sqrt(static_cast<double>(width))));
  const Variable gathered = permute(matmul(cast(weights, f.dtype()), f), {1, 0, 2});  // heads x N x D
  const Variable attended = reshape(permute(matmul(gathered, transpose(v_weight)), {1, 0, 2}), {n, 1, dim});
  return v_fusion_->bias.defined() ? fer::add(attended, cast(v_fusion_->bias, q.dtype())) : attended;
}

Variable CrossAttentionBlock::operator()(const Variable& t_fusion, const Variable& t_query, Tensor* weights) {
  ModuleScope scope(name());
  const Variable f = norm1_ ? (*norm1_)(t_fusion) : t_fusion;
  const Variable l = norm_lm_ ? (*norm_lm_)(t_query) : t_query;
  const Variable attended = attend((*q_lm_)(l), f, weights);
  const bool all_rows = t_query.dim(1) == t_fusion.dim(1);
  return finish(attended, all_rows ? t_fusion : slice(t_fusion, 1, 0, t_query.dim(1)));
}

DualAttention::DualAttention(std::int64_t c_img, std::int64_t c_lm, std::int64_t pixels,
                             const DualAttentionConfig& config)
    : config_(checked(config)), c_img_(c_img), c_lm_(c_lm), pixels_(pixels) {
  const std::int64_t dim = config_.dim;
  fusion_.class_token = register_parameter("fusion_class", {1, 1, dim}, Init::class_token);
  if (config_.cross) landmarks_.class_token = register_parameter("lm_class", {1, 1, dim}, Init::class_token);
  if (config_.pos_embed) {
    fusion_.positions = register_parameter("pos_fusion", {1, pixels + 1, dim}, Init::class_token);
    if (config_.cross)
      landmarks_.positions = register_parameter("pos_lm", {1, pixels + 1, dim}, Init::class_token);
  }
  if (config_.heatmap == Heatmap::conv) {
    heatmap_conv_ = &register_module<Conv2d>("heatmap_conv", c_lm, c_img, 1, Conv2dOptions{}, /*bias=*/true);
  }
  fusion_.embedding = &register_module<Linear>("embed_fusion", c_img, dim);
  if (config_.cross) landmarks_.embedding = &register_module<Linear>("embed_lm", c_lm, dim);
  block_list_ = &register_module<BlockList>("blocks");
  for (std::int64_t i = 0; i < config_.depth; ++i) blocks_.push_back(&block_list_->append(config_));
  if (config_.final_norm) final_norm_ = &register_module<LayerNorm>("final_norm", dim);
  if (config_.se_gate) {
    se_linear1_ = &register_module<Linear>("se_linear1", dim, dim);
    se_linear2_ = &register_module<Linear>("se_linear2", dim, dim);
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

Variable DualAttention::embed(const Variable& map, const Stream& stream) {
  const std::int64_t n = map.dim(0), pixels = map.dim(1) * map.dim(2);
  const Variable pixel_tokens = (*stream.embedding)(reshape(map, {n, pixels, map.dim(3)}));
  const auto as_tokens = [&](const Variable& learnt) { return cast(learnt, pixel_tokens.dtype()); };
  Variable t = concat({broadcast_to(as_tokens(stream.class_token), {n, 1, config_.dim}), pixel_tokens}, 1);
  return stream.positions.defined() ? fer::add(t, as_tokens(stream.positions)) : t;
}

Variable DualAttention::class_row(const Variable& like, const Stream& stream) {
  Variable row = cast(stream.class_token, like.dtype());
  if (stream.positions.defined()) row = fer::add(row, cast(first_row(stream.positions), like.dtype()));
  return broadcast_to(row, {like.dim(0), 1, config_.dim});
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
  const std::int64_t pixels = fused.dim(1) * fused.dim(2);
  require<ShapeError>(!config_.pos_embed || pixels == pixels_,
                      "[dual_attention] has position embeddings for ", pixels_, " pixels, the map has ",
                      pixels, "; image_size must be that of the images");
  if (trace) {
    trace->fused = fused;
    trace->attention.clear();
  }
  const std::size_t last = blocks_.size() - 1;
  Variable t = embed(fused, fusion_), t_lm;  // Eq. 2
  const auto queries = [&]() -> const Variable& {
    if (!config_.cross) return t;
    if (!t_lm.defined()) t_lm = embed(f_lm, landmarks_);
    return t_lm;
  };
  for (std::size_t i = 0; i < last; ++i) t = run_block(i, t, queries(), trace);
  if (trace && trace->full_last_block) return finish(first_row(run_block(last, t, queries(), trace)));
  return finish(run_block(last, t, config_.cross ? class_row(t, landmarks_) : first_row(t), trace));
}

}  // namespace fer
