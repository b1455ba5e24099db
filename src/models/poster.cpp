#include "fer/models/poster.h"

#include <algorithm>

#include "fer/autograd/ops.h"
#include "fer/nearest.h"
#include "models/size_checks.h"

namespace fer {
namespace detail {  // parts of PyramidFusion and FeatureGate, which have linkage

/// residual + layer(x). In training, `drop` leaves layer(x) out of some samples.
static Variable plus_branch(Linear& layer, Dropout& drop, const Variable& x, const Variable& residual) {
  return drop.is_active() ? fer::add(drop(layer(x)), residual) : layer.plus(x, residual);
}

/// PyTorch's Conv1d with the stride of its kernel, over tokens: they are its channels, and their values its
/// positions. weight: T x T x kernel, bias: T.
class TokenConv : public Layer {
 public:
  TokenConv(std::int64_t tokens, std::int64_t kernel)
      : weight_(register_parameter("weight", {tokens, tokens, kernel}, Init::uniform)),
        bias_(register_parameter("bias", {tokens}, Init::uniform, tokens * kernel)) {}
  std::string describe() const override {
    return concat("TokenConv(", weight_.dim(0), " tokens, kernel ", weight_.dim(2), ")");
  }
  /// x: N x T x D; y: N x T x D / kernel.
  Variable forward(const Variable& x) override {
    const std::int64_t n = x.dim(0), tokens = x.dim(1), kernel = weight_.dim(2), steps = x.dim(2) / kernel;
    const Variable windows = permute(reshape(x, {n, tokens, steps, kernel}), {0, 2, 1, 3});
    return transpose(linear(reshape(windows, {n, steps, tokens * kernel}),
                            reshape(weight_, {tokens, tokens * kernel}), bias_));
  }

 private:
  Variable weight_, bias_;
};

/// PyTorch's ConvTranspose1d with kernel and stride 2, over tokens as in TokenConv: it doubles their width.
/// weight: T (of x) x T (of y) x 2, bias: T.
class TokenUpsample : public Layer {
 public:
  explicit TokenUpsample(std::int64_t tokens)
      : weight_(register_parameter("weight", {tokens, tokens, 2}, Init::uniform)),
        bias_(register_parameter("bias", {tokens}, Init::uniform, 2 * tokens)) {}
  std::string describe() const override { return concat("TokenUpsample(", weight_.dim(0), " tokens)"); }
  /// x: N x T x D; y: N x T x 2 D.
  Variable forward(const Variable& x) override {
    const std::int64_t n = x.dim(0), tokens = x.dim(1), width = x.dim(2);
    const Variable weight = transpose(reshape(weight_, {tokens, 2 * tokens}));
    const Variable bias = reshape(broadcast_to(reshape(bias_, {tokens, 1}), {tokens, 2}), {2 * tokens});
    const Variable pairs = reshape(linear(transpose(x), weight, bias), {n, width, tokens, 2});
    return reshape(permute(pairs, {0, 2, 1, 3}), {n, tokens, 2 * width});
  }

 private:
  Variable weight_, bias_;
};

/// Keys and values of one stream for the queries of the other, which have no projection.
class StreamAttention : public Module {
 public:
  StreamAttention(std::int64_t dim, std::int64_t heads, double drop_path)
      : heads_(static_cast<int>(heads)),
        kv_(register_module<Linear>("kv", dim, 2 * dim, true, Init::uniform)),
        proj_(register_module<Linear>("proj", dim, dim, true, Init::uniform)),
        drop_path_(register_module<Dropout>("drop_path", drop_path, DropoutMask::sample)) {}
  std::string describe() const override {
    return concat("StreamAttention(", proj_.in(), ", heads ", heads_, ")");
  }
  /// N x T x D each; the result is added to `residual`.
  Variable operator()(const Variable& q, const Variable& x, const Variable& residual) {
    ModuleScope scope(name());
    const auto part = [&](std::int64_t i) {
      ModuleScope of_kv(kv_.name());
      const std::int64_t dim = proj_.in();
      return linear(x, slice(kv_.weight, 0, i * dim, dim), slice(kv_.bias, 0, i * dim, dim));
    };
    return plus_branch(proj_, drop_path_, attention(q, part(0), part(1), heads_), residual);
  }

 private:
  int heads_;
  Linear &kv_, &proj_;
  Dropout& drop_path_;
};

class TokenMlp : public Module {
 public:
  TokenMlp(std::int64_t dim, std::int64_t hidden, double drop_path)
      : fc1_(register_module<Linear>("fc1", dim, hidden, true, Init::uniform)),
        fc2_(register_module<Linear>("fc2", hidden, dim, true, Init::uniform)),
        drop_path_(register_module<Dropout>("drop_path", drop_path, DropoutMask::sample)) {}
  std::string describe() const override { return concat("TokenMlp(", fc1_.in(), ", ", fc1_.out(), ")"); }
  Variable operator()(const Variable& x, const Variable& residual) {
    ModuleScope scope(name());
    return plus_branch(fc2_, drop_path_, fc1_.gelu(x), residual);
  }

 private:
  Linear &fc1_, &fc2_;
  Dropout& drop_path_;
};

/// Cross-fusion at one width: in each stream, attention to the other and an MLP; then all tokens are mixed.
class FusionBlock : public Layer {
 public:
  FusionBlock(std::int64_t dim, std::int64_t tokens, const PosterConfig& config, double drop_path)
      : norm1_(register_module<LayerNorm>("norm1", dim)),
        attn_img_(register_module<StreamAttention>("attn_img", dim, config.heads, drop_path)),
        attn_lm_(register_module<StreamAttention>("attn_lm", dim, config.heads, drop_path)),
        norm2_(register_module<LayerNorm>("norm2", dim)),
        mlp1_(register_module<TokenMlp>("mlp1", dim, config.mlp_ratio * dim, drop_path)),
        mlp2_(register_module<TokenMlp>("mlp2", dim, config.mlp_ratio * dim, drop_path)),
        norm3_(register_module<LayerNorm>("norm3", dim)),
        norm4_(register_module<LayerNorm>("norm4", dim)),
        conv_(register_module<TokenConv>("conv", tokens, 1)) {}
  std::string describe() const override { return "FusionBlock"; }
  /// x, y: N x 2T x D, T image tokens and T landmark tokens.
  Variable forward(const Variable& x) override {
    const auto image = [](const Variable& both) { return slice(both, 1, 0, both.dim(1) / 2); };
    const auto landmark = [](const Variable& both) {
      return slice(both, 1, both.dim(1) / 2, both.dim(1) / 2);
    };
    const Variable for_img = norm1_(x), for_lm = norm3_(x);
    Variable img = attn_img_(landmark(for_img), image(for_img), image(x));
    img = mlp1_(norm2_(img), img);
    Variable lm = attn_lm_(image(for_lm), landmark(for_lm), landmark(x));
    lm = mlp2_(norm4_(lm), lm);
    return conv_(fer::concat({img, lm}, 1));
  }

 private:
  LayerNorm& norm1_;
  StreamAttention &attn_img_, &attn_lm_;
  LayerNorm& norm2_;
  TokenMlp &mlp1_, &mlp2_;
  LayerNorm &norm3_, &norm4_;
  TokenConv& conv_;
};

/// The tokens at each width: N x 2T x D, D / 2 and D / 4.
struct Pyramid {
  Variable wide, middle, narrow;
};

class PyramidBlock : public Module {
 public:
  PyramidBlock(std::int64_t tokens, const PosterConfig& config, double drop_path)
      : block_l_(register_module<FusionBlock>("block_l", config.dim(), tokens, config, drop_path)),
        block_m_(register_module<FusionBlock>("block_m", config.dim() / 2, tokens, config, drop_path)),
        block_s_(register_module<FusionBlock>("block_s", config.dim() / 4, tokens, config, drop_path)),
        upsample_m_(register_module<TokenUpsample>("upsample_m", tokens)),
        upsample_s_(register_module<TokenUpsample>("upsample_s", tokens)) {}
  std::string describe() const override { return "PyramidBlock"; }
  Pyramid operator()(const Pyramid& x, bool checkpointing) {
    ModuleScope scope(name());
    const auto run = [&](FusionBlock& block, const Variable& tokens) {
      if (!checkpointing) return block(tokens);
      return checkpoint([&block](const std::vector<Variable>& in) { return block(in[0]); }, {tokens});
    };
    const Variable narrow = run(block_s_, x.narrow);
    const Variable middle = fer::add(upsample_s_(narrow), run(block_m_, x.middle));
    return {fer::add(run(block_l_, x.wide), upsample_m_(middle)), middle, narrow};
  }

 private:
  FusionBlock &block_l_, &block_m_, &block_s_;
  TokenUpsample &upsample_m_, &upsample_s_;
};

class PyramidBlocks : public Module {
 public:
  std::string describe() const override { return "PyramidBlocks"; }
  PyramidBlock& append(std::int64_t tokens, const PosterConfig& config, double drop_path) {
    return register_module<PyramidBlock>(std::to_string(children().size()), tokens, config, drop_path);
  }
};

/// A map's mean and then its pixels: N x h x w x D -> N x (1 + h w) x D.
static Variable tokens_of(const Variable& map) {
  const std::int64_t n = map.dim(0), pixels = map.dim(1) * map.dim(2), dim = map.dim(3);
  return fer::concat({reshape(global_avg_pool2d(map), {n, 1, dim}), reshape(map, {n, pixels, dim})}, 1);
}

/// IR50's layers from the last map to an embedding, as public checkpoints name them. They never run: they are
/// made for a map of twice as many channels and half the side, the fourth stage's, which POSTER cuts off.
class UnusedEmbedding : public Module {
 public:
  UnusedEmbedding(std::int64_t channels, std::int64_t pixels) {
    register_module<BatchNorm>("0", channels);
    register_module<Linear>("3", channels * pixels, channels);
    register_module<BatchNorm>("4", channels);
    requires_grad(false);
  }
  std::string describe() const override { return "UnusedEmbedding"; }
};

class PosterImageBackbone : public IRBackbone {
 public:
  explicit PosterImageBackbone(const PosterConfig& config) : IRBackbone(config.image) {
    if (!config.unused) return;
    register_module<UnusedEmbedding>("output_layer", 2 * config.image.widths.back(), config.tokens());
  }
};

class PosterHead : public Module {
 public:
  PosterHead(std::int64_t dim, std::int64_t classes)
      : linear(register_module<Linear>("linear", dim, classes, true, Init::uniform)) {}
  std::string describe() const override { return "PosterHead"; }

  Linear& linear;
};

/// For member initialisers: returns `config` after checking it.
static PosterConfig checked_poster(const PosterConfig& config) {
  validate(config);
  return config;
}

}  // namespace detail

using namespace detail;

/// From the two streams of pixel tokens to the mean token of the image stream.
class PyramidFusion : public Module {
 public:
  explicit PyramidFusion(const PosterConfig& config)
      : positions_(register_parameter("pos_embed", {1, config.tokens() + 1, config.dim()}, Init::zeros)),
        downsample_m_(register_module<TokenConv>("downsample_m", 2 * (config.tokens() + 1), 2)),
        downsample_s_(register_module<TokenConv>("downsample_s", 2 * (config.tokens() + 1), 4)),
        block_list_(register_module<PyramidBlocks>("blocks")),
        norm_(register_module<LayerNorm>("norm", config.dim())) {
    if (config.unused)
      register_parameter("cls_token", {1, 1, config.dim()}, Init::zeros).set_requires_grad(false);
    for (std::int64_t i = 0; i < config.depth; ++i) {
      const double share = config.depth > 1 ? static_cast<double>(i) / (config.depth - 1) : 0.0;
      blocks_.push_back(&block_list_.append(2 * (config.tokens() + 1), config, share * config.drop_path));
    }
  }
  std::string describe() const override { return concat("PyramidFusion(", blocks_.size(), " blocks)"); }

  /// N x h x w x D each -> N x D.
  Variable operator()(const Variable& image, const Variable& landmarks) {
    ModuleScope scope(name());
    const Variable positioned = fer::add(tokens_of(image), cast(positions_, image.dtype()));
    const Variable tokens = fer::concat({positioned, tokens_of(landmarks)}, 1);
    Pyramid pyramid{tokens, downsample_m_(tokens), downsample_s_(tokens)};
    {
      ModuleScope blocks(block_list_.name());
      for (PyramidBlock* block : blocks_) pyramid = (*block)(pyramid, checkpointing);
    }
    const Variable first = slice(pyramid.wide, 1, 0, 1);
    return norm_(reshape(first, {first.dim(0), first.dim(2)}));
  }

  bool checkpointing = false;

 private:
  Variable positions_;
  TokenConv &downsample_m_, &downsample_s_;
  PyramidBlocks& block_list_;
  std::vector<PyramidBlock*> blocks_;
  LayerNorm& norm_;
};

/// x * sigmoid(linear(relu(linear(x)))).
class FeatureGate : public Layer {
 public:
  explicit FeatureGate(std::int64_t dim)
      : linear1_(register_module<Linear>("linear1", dim, dim, true, Init::uniform)),
        linear2_(register_module<Linear>("linear2", dim, dim, true, Init::uniform)) {}
  std::string describe() const override { return "FeatureGate"; }
  Variable forward(const Variable& x) override { return mul(x, sigmoid(linear2_(relu(linear1_(x))))); }

 private:
  Linear &linear1_, &linear2_;
};

void validate(const PosterConfig& config) {
  validate(config.image);
  validate(config.landmarks);
  require<ConfigError>(config.landmarks.head, "POSTER's tokens come from the landmark backbone's head");
  detail::require_size("classes", config.classes, detail::most_channels);
  detail::require_size("image_size", config.image_size, detail::most_pixels);
  detail::require_size("backbone_size", config.backbone_size, detail::most_pixels);
  require<ConfigError>(config.backbone_size % 16 == 0, "backbone_size must be a multiple of 16, got ",
                       config.backbone_size);
  require<ConfigError>(config.image_size % config.backbone_size == 0,
                       "image_size must be a multiple of backbone_size, ", config.backbone_size, "; got ",
                       config.image_size);
  std::int64_t stride = config.image.stem_stride;
  for (const std::int64_t s : config.image.strides) stride *= s;
  require<ConfigError>(stride == 8, "stem_stride and strides multiply to ", stride,
                       "; POSTER needs an image map with sides of backbone_size / 8");
  require<ConfigError>(config.heads >= 1 && config.dim() / 4 % config.heads == 0,
                       "heads must divide the width of the narrow tokens, 2 lm_width = ", config.dim() / 4,
                       "; got ", config.heads);
  detail::require_size("depth", config.depth, detail::most_units);
  detail::require_size("mlp_ratio", config.mlp_ratio, detail::most_ratio);
  require<ConfigError>(config.drop_path >= 0.0 && config.drop_path < 1.0, "drop_path must be in [0, 1), got ",
                       config.drop_path);
}

PosterConfig tiny_poster(std::int64_t classes) {
  PosterConfig config;
  config.classes = classes;
  config.image_size = 64;
  config.backbone_size = 32;
  config.image = {
      .stem = 8, .stem_stride = 1, .widths = {8, 12, 16}, .units = {1, 1, 2}, .strides = {2, 2, 2}};
  config.landmarks = {.width = 4, .units = {1, 1, 1}, .head = true, .outputs = 136};
  config.heads = 4;
  config.depth = 2;
  return config;
}

Poster::Poster(const PosterConfig& config)
    : config_(checked_poster(config)),
      landmark_backbone_(register_module<MobileFaceNet>("face_landback", config.landmarks)),
      image_backbone_(register_module<PosterImageBackbone>("ir_back", config)),
      ir_layer_(register_module<Linear>("ir_layer", 4 * config.image.widths.back(), config.dim(), true,
                                        Init::uniform)),
      pyramid_(register_module<PyramidFusion>("pyramid_fuse", config)),
      gate_(register_module<FeatureGate>("se_block", config.dim())),
      head_(&register_module<PosterHead>("head", config.dim(), config.classes).linear) {
  landmark_backbone_.train(false);
}

std::string Poster::describe() const {
  return concat("Poster(", config_.classes, " classes)");
}

NetworkOutput Poster::forward(const Variable& x) {
  const Variable f_lm = landmark_features(x);
  return classify(image_features(x), f_lm);
}

std::vector<Variable> Poster::inference(const Variable& x) {
  const Variable f_lm = landmark_features(x);
  return {classify(image_features(x), f_lm).scores, f_lm};
}

Variable Poster::points_of(const std::vector<Tensor>& results) {
  return landmark_backbone_.points_of(Variable(results[1]));
}

Variable Poster::reduced(const Variable& x) const {
  const std::int64_t side = config_.image_size;
  require<ShapeError>(x.rank() == 4 && x.dim(1) == side && x.dim(2) == side && x.dim(3) == 3,
                      "[poster] needs images N x ", side, " x ", side, " x 3, got ", x.shape());
  // Nearest neighbours, of which the last is the pixel itself.
  const int step = static_cast<int>(side / config_.backbone_size);
  return step == 1 ? x : max_pool2d(x, 1, step);
}

Variable Poster::compute_landmark_features(const Variable& x) {
  return landmark_backbone_.head_features(landmark_backbone_.features(reduced(x)));
}

Variable Poster::image_features(const Variable& x) {
  return image_backbone_(reduced(x));
}

NetworkOutput Poster::classify(const Variable& f_img, const Variable& f_lm) {
  // A token is 4 C values in a row of the map stored channel by channel: of a few channels, not of a place.
  const std::int64_t n = f_img.dim(0), side = f_lm.dim(1);
  const Variable channels_first = permute(f_img, {0, 3, 1, 2});
  const Variable image = ir_layer_(reshape(channels_first, {n, side, side, 4 * f_img.dim(3)}));
  const Variable last = pyramid_(image, f_lm);
  const Variable token = gate_(cast(last, widened(last.dtype())));
  ModuleScope scope("head");
  return {(*head_)(token), token};
}

std::vector<std::string> Poster::layers() const {
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= config_.image.units.size(); ++i) names.push_back(fer::concat("stage", i));
  return names;
}

std::size_t Poster::stage_number(const std::string& layer) const {
  const std::vector<std::string> names = layers();
  const auto found = std::find(names.begin(), names.end(), layer);
  require<ConfigError>(found != names.end(), unknown_name("layer", layer, names));
  return static_cast<std::size_t>(found - names.begin()) + 1;
}

Variable Poster::map_of(const std::string& layer, const Variable& x) {
  return image_backbone_.first_stages(reduced(x), stage_number(layer));
}

Variable Poster::scores_from(const std::string& layer, const Variable& map, const Variable& x) {
  return classify(image_backbone_.later_stages(map, stage_number(layer)), landmark_features(x)).scores;
}

void Poster::set_checkpointing(bool on) {
  image_backbone_.set_checkpointing(on);
  pyramid_.checkpointing = on;
}

}  // namespace fer
