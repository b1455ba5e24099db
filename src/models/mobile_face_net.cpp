#include "fer/models/mobile_face_net.h"

#include "fer/autograd/ops.h"
#include "fer/tensor/precision.h"
#include "models/size_checks.h"

namespace fer {

ConvBlock::ConvBlock(std::int64_t in, std::int64_t out, int kernel, int stride, std::int64_t groups,
                     bool prelu, int padding)
    : conv_(register_module<Conv2d>(
          "conv", in, out, kernel,
          Conv2dOptions{.stride = stride, .padding = padding, .groups = static_cast<int>(groups)})),
      bn_(register_module<BatchNorm>("bn", out)) {
  if (prelu) prelu_ = &register_module<PReLU>("prelu", out);
}

std::string ConvBlock::describe() const {
  return "ConvBlock";
}

Variable ConvBlock::forward(const Variable& x) {
  return bn_(conv_(x), prelu_ ? prelu_->weight : Variable(), {});
}

DepthWise::DepthWise(std::int64_t in, std::int64_t out, std::int64_t hidden, int stride, bool residual)
    : conv_(register_module<ConvBlock>("conv", in, hidden, 1, 1, 1, true, 0)),
      conv_dw_(register_module<ConvBlock>("conv_dw", hidden, hidden, 3, stride, hidden, true, 1)),
      project_(register_module<ConvBlock>("project", hidden, out, 1, 1, 1, false, 0)),
      residual_(residual) {}

std::string DepthWise::describe() const {
  return concat("DepthWise(", conv_.conv().in(), ", hidden ", conv_.conv().out(), ", ", project_.conv().out(),
                residual_ ? ", residual)" : ")");
}

Variable DepthWise::forward(const Variable& x) {
  const Variable y = project_(conv_dw_(conv_(x)));
  return residual_ ? fer::add(x, y) : y;
}

ResidualStack::ResidualStack(std::int64_t channels, std::int64_t count, std::int64_t hidden)
    : model_(register_module<Sequential>("model")) {
  for (std::int64_t i = 0; i < count; ++i) {
    blocks_.push_back(&model_.append<DepthWise>(channels, channels, hidden, 1, true));
  }
}

LandmarkHead::LandmarkHead(std::int64_t channels, std::int64_t outputs)
    : conv_6_dw_(register_module<ConvBlock>("conv_6_dw", channels, channels, 7, 1, channels, false, 0)),
      linear_(register_module<Linear>("linear", channels, outputs, false)),
      bn_(register_module<BatchNorm>("bn", outputs)) {}

Variable LandmarkHead::forward(const Variable& x) {
  require<ShapeError>(x.rank() == 4 && x.dim(1) == 7 && x.dim(2) == 7,
                      "[landmark_head] needs a map of 7 x 7, which images of 112 x 112 give; got ",
                      x.shape());
  const Variable y = conv_6_dw_(x);
  return bn_(linear_(reshape(y, {x.dim(0), -1})));
}

void validate(const MobileFaceNetConfig& config) {
  detail::require_size("lm_width", config.width, detail::most_channels);
  require<ConfigError>(config.units.size() == 3,
                       "lm_units needs three entries, the residual blocks of conv_3, conv_4 and conv_5; got ",
                       config.units.size());
  for (const std::int64_t count : config.units) detail::require_size("lm_units", count, detail::most_units);
  detail::require_size("lm_outputs", config.outputs, detail::most_channels);
}

namespace {

/// For member initialisers: returns `config` after checking it.
MobileFaceNetConfig checked(const MobileFaceNetConfig& config) {
  validate(config);
  return config;
}

}  // namespace

MobileFaceNet::MobileFaceNet(const MobileFaceNetConfig& config) : config_(checked(config)) {
  const std::int64_t w = config_.width;
  conv1_ = &register_module<ConvBlock>("conv1", 3, w, 3, 2, 1, true, 1);
  conv2_dw_ = &register_module<ConvBlock>("conv2_dw", w, w, 3, 1, w, true, 1);
  conv_23_ = &register_module<DepthWise>("conv_23", w, w, 2 * w, 2, false);
  conv_3_ = &register_module<ResidualStack>("conv_3", w, config_.units[0], 2 * w);
  conv_34_ = &register_module<DepthWise>("conv_34", w, 2 * w, 4 * w, 2, false);
  conv_4_ = &register_module<ResidualStack>("conv_4", 2 * w, config_.units[1], 4 * w);
  if (!config_.head) return;
  conv_45_ = &register_module<DepthWise>("conv_45", 2 * w, 2 * w, 8 * w, 2, false);
  conv_5_ = &register_module<ResidualStack>("conv_5", 2 * w, config_.units[2], 4 * w);
  conv_6_sep_ = &register_module<ConvBlock>("conv_6_sep", 2 * w, 8 * w, 1, 1, 1, true, 0);
  output_layer_ = &register_module<LandmarkHead>("output_layer", 8 * w, config_.outputs);
}

std::string MobileFaceNet::describe() const {
  return concat("MobileFaceNet(width ", config_.width, config_.head ? ", with head)" : ")");
}

std::int64_t MobileFaceNet::grid(std::int64_t image_size) const {
  return (image_size - 1) / 8 + 1;  // three convolutions of stride 2
}

Variable MobileFaceNet::features(const Variable& images) {
  ModuleScope scope(name());
  require<ShapeError>(images.rank() == 4 && images.dim(3) == 3,
                      "[landmark_backbone] needs images N x H x W x 3, got ", images.shape());
  const Variable x = cast(images, activation_type(images.value()));
  return (*conv_4_)((*conv_34_)((*conv_3_)((*conv_23_)((*conv2_dw_)((*conv1_)(x))))));
}

Variable MobileFaceNet::head_features(const Variable& f_lm) {
  ModuleScope scope(name());
  require<ConfigError>(config_.head,
                       "[landmarks] this landmark backbone was made without its head (lm_head)");
  return (*conv_6_sep_)((*conv_5_)((*conv_45_)(f_lm)));
}

Variable MobileFaceNet::points_of(const Variable& head_map) {
  ModuleScope scope(name());
  require<ConfigError>(config_.head,
                       "[landmarks] this landmark backbone was made without its head (lm_head)");
  return (*output_layer_)(cast(head_map, widened(head_map.dtype())));
}

Variable MobileFaceNet::landmarks(const Variable& f_lm) {
  return points_of(head_features(f_lm));
}

}  // namespace fer
