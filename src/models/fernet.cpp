#include "fer/models/fernet.h"

#include "fer/autograd/ops.h"

namespace fer {
namespace {

FERNetConfig checked(const FERNetConfig& config) {
  validate(config);
  return config;
}

}  // namespace

FERNet::FERNet(const FERNetConfig& config)
    : config_(checked(config)),
      image_backbone_(register_module<IRBackbone>("image_backbone", config.image)),
      landmark_backbone_(register_module<MobileFaceNet>("landmark_backbone", config.landmarks)),
      attention_(register_module<DualAttention>(
          "attention", config.image.widths.back(), landmark_backbone_.feature_channels(),
          image_backbone_.grid(config.image_size) * image_backbone_.grid(config.image_size),
          config.attention)),
      head_(register_module<Linear>("head", config.attention.dim, config.classes)) {
  landmark_backbone_.train(false);
}

std::string FERNet::describe() const {
  return concat("FERNet(", config_.classes, " classes)");
}

NetworkOutput FERNet::operator()(const Variable& x, FERNetTrace* trace) {
  const Variable f_lm = landmark_features(x), f_img = image_backbone_(x);
  if (trace) {
    trace->f_lm = f_lm;
    trace->f_img = f_img;
  }
  return classify(f_img, f_lm, trace ? &trace->attention : nullptr);
}

std::vector<Variable> FERNet::inference(const Variable& x) {
  const Variable f_lm = landmark_features(x);
  return {classify(image_features(x), f_lm).scores, f_lm};
}

Variable FERNet::points_of(const std::vector<Tensor>& results) {
  return landmark_backbone_.landmarks(Variable(results[1]));
}

Variable FERNet::landmark_input(const Variable& x) {
  if (!config_.landmark_unit_input) return x;
  if (!unit_scale_.defined() || unit_scale_.dtype() != x.dtype() || unit_scale_.device() != x.device()) {
    const auto constant = [&](const std::array<double, 3>& values) {
      return Variable(Tensor::from<double>({3}, {values.begin(), values.end()}).to(x.dtype()).to(x.device()));
    };
    unit_scale_ = constant(normalisation_.std);
    unit_shift_ = constant(normalisation_.mean);
  }
  return fer::add(mul(x, unit_scale_), unit_shift_);
}

Variable FERNet::compute_landmark_features(const Variable& x) {
  return landmark_backbone_.features(landmark_input(x));
}

NetworkOutput FERNet::classify(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace) {
  return classify_fused(attention_.fuse(f_img, f_lm, trace), f_lm, trace);
}

NetworkOutput FERNet::classify_fused(const Variable& fused, const Variable& f_lm, AttentionTrace* trace) {
  const Variable last = attention_.attend(fused, f_lm, trace);
  const Variable token = cast(last, widened(last.dtype()));  // for the losses
  return {head_(token), token};
}

std::vector<std::string> FERNet::layers() const {
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= config_.image.units.size(); ++i) names.push_back(concat("stage", i));
  names.insert(names.end(), {"f_img", "f_fusion"});
  return names;
}

namespace {

/// The number of a layer "stage2"; 0 if the layer is not a stage.
std::size_t stage_number(const std::string& layer, const FERNetConfig& config) {
  for (std::size_t i = 1; i <= config.image.units.size(); ++i) {
    if (layer == concat("stage", i)) return i;
  }
  return 0;
}

}  // namespace

Variable FERNet::map_of(const std::string& layer, const Variable& x) {
  if (const std::size_t stage = stage_number(layer, config_)) return image_backbone_.first_stages(x, stage);
  if (layer == "f_img") return image_features(x);
  if (layer == "f_fusion") return attention_.fuse(image_features(x), landmark_features(x));
  return Network::map_of(layer, x);
}

Variable FERNet::scores_from(const std::string& layer, const Variable& map, const Variable& x) {
  const Variable f_lm = landmark_features(x);
  if (layer == "f_fusion") return classify_fused(map, f_lm).scores;
  const std::size_t stage = stage_number(layer, config_);
  return classify(stage > 0 ? image_backbone_.later_stages(map, stage) : map, f_lm).scores;
}

Variable FERNet::landmarks(const Variable& x) {
  return landmark_backbone_.landmarks(landmark_features(x));
}

void FERNet::set_normalisation(const Normalisation& normalisation) {
  normalisation_ = normalisation;
  unit_scale_ = unit_shift_ = Variable();
  drop_graphs();
}

void FERNet::set_checkpointing(bool on) {
  image_backbone_.set_checkpointing(on);
  attention_.set_checkpointing(on);
}

}  // namespace fer
