// Network: what all image classifiers have in common. Training, prediction, export and benchmarks use a network
// through this interface and do not know which one it is. registry.h lists the networks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fer/formats/input_spec.h"
#include "fer/formats/matching.h"
#include "fer/graph/compiled.h"
#include "fer/layers/layers.h"

namespace fer {

class MobileFaceNet;
class IRBackbone;

/// The settings that every network has.
struct NetworkConfig {
  std::int64_t classes = 7;
  std::int64_t image_size = 112;  ///< S
  bool operator==(const NetworkConfig&) const = default;
};

struct NetworkOutput {
  Variable scores;  ///< N x K
  Variable token;   ///< N x D, the features that the last layer reads; the anchor losses use them
};

/// What prediction needs of a forward pass.
struct Inference {
  Tensor scores;  ///< N x K
  Tensor points;  ///< N x 136, the landmarks as fractions of the image; undefined if not requested
};

class Network : public Module {
 public:
  /// x: N x S x S x 3, normalised (set_normalisation).
  virtual NetworkOutput forward(const Variable& x) = 0;
  NetworkOutput operator()(const Variable& x) { return forward(x); }

  /// Runs the network in evaluation mode, without gradients, as a compiled graph. The graph is traced again if
  /// a weight changes, and dropped by train(). ConfigError if points are requested of a network that has none
  /// (has_points).
  Inference infer(const Tensor& x, bool with_points = false);
  virtual bool has_points() const { return false; }

  virtual const NetworkConfig& config() const = 0;
  /// "fernet": the name of the ONNX graph.
  virtual const char* kind() const = 0;
  /// How public checkpoints name the parameters.
  virtual NameMap public_names() const = 0;
  /// The last layer: K rows, one per class.
  virtual Linear& head() = 0;

  /// The part that finds facial landmarks, is trained first and then frozen; null if there is none.
  virtual MobileFaceNet* landmark_net() { return nullptr; }
  /// The part that can learn landmarks before it learns classes (PointsNet); null if there is none.
  virtual IRBackbone* pretrainable() { return nullptr; }
  /// The parameters of landmark_net() no longer require gradients.
  void freeze_landmarks();
  bool landmarks_frozen();
  /// The map that landmark_net() contributes, for the input x; undefined if there is none. Once frozen, a compiled
  /// graph computes it, which is traced again if a value of landmark_net() changes.
  Variable landmark_features(const Variable& x);
  /// The graph that landmark_features() ran last; null before.
  const Graph* landmark_graph() const { return frozen_landmarks_.graph(); }

  /// The layers that Grad-CAM can explain, in order from the image; each gives a map N x h x w x C.
  virtual std::vector<std::string> layers() const { return {}; }
  /// The map of one of layers() for the input x, and the scores that follow from it.
  virtual Variable map_of(const std::string& layer, const Variable& x);
  virtual Variable scores_from(const std::string& layer, const Variable& map, const Variable& x);

  /// How the input is normalised; the default is ImageNet's statistics. Only networks that undo it need it.
  virtual void set_normalisation(const Normalisation&) {}
  /// Recomputes activations in backward instead of keeping them.
  virtual void set_checkpointing(bool on) = 0;

  /// landmark_net() stays in evaluation mode, so that its running statistics do not drift.
  void train(bool mode = true) override;

 protected:
  Network();
  /// What infer() compiles: the scores and, for has_points(), what points_of() needs.
  virtual std::vector<Variable> inference(const Variable& x) { return {forward(x).scores}; }
  /// The landmarks from the results of inference().
  virtual Variable points_of(const std::vector<Tensor>&) { return {}; }
  /// What landmark_features() computes: a function of x and the values of landmark_net().
  virtual Variable compute_landmark_features(const Variable&) { return {}; }
  /// Drops what is compiled, after a change that the graphs cannot see.
  void drop_graphs();

 private:
  Compiled inference_, frozen_landmarks_;
};

}  // namespace fer
