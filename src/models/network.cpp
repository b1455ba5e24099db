#include "fer/models/network.h"

#include "fer/error.h"
#include "fer/models/mobile_face_net.h"
#include "fer/nearest.h"

namespace fer {

Network::Network()
    : inference_([this](const std::vector<Variable>& in) { return inference(in[0]); }),
      frozen_landmarks_(
          [this](const std::vector<Variable>& in) { return std::vector{compute_landmark_features(in[0])}; },
          Replay::never) {}

Inference Network::infer(const Tensor& x, bool with_points) {
  require<ConfigError>(!with_points || has_points(), "[", kind(), "] this network finds no landmarks");
  const std::vector<Tensor> results = inference_({x});
  if (!with_points) return {results[0], {}};
  NoGrad no_grad;
  return {results[0], points_of(results).value()};
}

void Network::freeze_landmarks() {
  if (MobileFaceNet* net = landmark_net()) net->requires_grad(false);
}

bool Network::landmarks_frozen() {
  MobileFaceNet* net = landmark_net();
  return net && !net->requires_grad();
}

Variable Network::map_of(const std::string& layer, const Variable&) {
  throw ConfigError(unknown_name("layer", layer, layers()));
}

Variable Network::scores_from(const std::string& layer, const Variable&, const Variable&) {
  throw ConfigError(unknown_name("layer", layer, layers()));
}

Variable Network::landmark_features(const Variable& x) {
  const bool needs_graph = grad_enabled() && x.requires_grad();
  if (needs_graph || !landmarks_frozen() || landmark_net()->is_training() || Tracer::current())
    return compute_landmark_features(x);
  return Variable(frozen_landmarks_({x.value()})[0]);
}

void Network::drop_graphs() {
  inference_.reset();
  frozen_landmarks_.reset();
}

void Network::train(bool mode) {
  Module::train(mode);
  if (MobileFaceNet* net = landmark_net()) net->train(false);
  if (mode) inference_.reset();
}

}  // namespace fer
