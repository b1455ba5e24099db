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
      head_(register_module<Linear>("head", config.attention.dim, config.classes)),
      inference_([this](const std::vector<Variable>& in) {
        const Variable f_lm = landmark_features(in[0]);
        return std::vector{classify(image_features(in[0]), f_lm).scores, f_lm};
      }),
      frozen_landmarks_(
          [this](const std::vector<Variable>& in) {
            return std::vector{landmark_backbone_.features(landmark_input(in[0]))};
          },
          Replay::never) {
  landmark_backbone_.train(false);
}

std::string FERNet::describe() const {
  return concat("FERNet(", config_.classes, " classes)");
}

FERNetOutput FERNet::operator()(const Variable& x, FERNetTrace* trace) {
  const Variable f_lm = landmark_features(x), f_img = image_backbone_(x);
  if (trace) {
    trace->f_lm = f_lm;
    trace->f_img = f_img;
  }
  return classify(f_img, f_lm, trace ? &trace->attention : nullptr);
}

FERNetInference FERNet::infer(const Tensor& x) {
  const std::vector<Tensor> results = inference_({x});
  return {results[0], results[1]};
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

Variable FERNet::landmark_features(const Variable& x) {
  const bool needs_graph = grad_enabled() && x.requires_grad();
  if (needs_graph || !landmarks_frozen() || landmark_backbone_.is_training() || Tracer::current()) {
    return landmark_backbone_.features(landmark_input(x));
  }
  return Variable(frozen_landmarks_({x.value()})[0]);
}

FERNetOutput FERNet::classify(const Variable& f_img, const Variable& f_lm, AttentionTrace* trace) {
  return classify_fused(attention_.fuse(f_img, f_lm, trace), f_lm, trace);
}

FERNetOutput FERNet::classify_fused(const Variable& fused, const Variable& f_lm, AttentionTrace* trace) {
  const Variable last = attention_.attend(fused, f_lm, trace);
  const Variable token = cast(last, widened(last.dtype()));  // for the losses
  return {head_(token), token};
}

Variable FERNet::landmarks(const Variable& x) {
  return landmark_backbone_.landmarks(landmark_features(x));
}

void FERNet::train(bool mode) {
  Module::train(mode);
  landmark_backbone_.train(false);
  if (mode) inference_.reset();
}

void FERNet::freeze_landmarks() {
  landmark_backbone_.requires_grad(false);
}

bool FERNet::landmarks_frozen() const {
  return !landmark_backbone_.requires_grad();
}

void FERNet::set_normalisation(const Normalisation& normalisation) {
  normalisation_ = normalisation;
  unit_scale_ = unit_shift_ = Variable();
  inference_.reset();
  frozen_landmarks_.reset();
}

void FERNet::set_checkpointing(bool on) {
  image_backbone_.set_checkpointing(on);
  attention_.set_checkpointing(on);
}

}  // namespace fer
