// Evaluation and prediction with a trained network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fer/data/loader.h"
#include "fer/models/fernet.h"
#include "fer/training/checkpoint.h"
#include "fer/training/config.h"
#include "fer/training/metrics.h"

namespace fer {

struct SamplePrediction {
  std::int64_t index = 0;  ///< in the data set
  std::int64_t label = -1, predicted = 0;
  std::vector<float> probabilities;  ///< one a class
};

struct EvaluationResult {
  ConfusionMatrix confusion;
  double cross_entropy = 0;  ///< mean over the samples, natural logarithm
  std::vector<SamplePrediction> samples;
};

/// Runs `model` in evaluation mode over one epoch of `loader`, without gradients.
EvaluationResult evaluate(FERNet& model, DataLoader& loader, Device device);

/// A network with its weights, and what is needed to use it: what `fer predict` and a program of one's own
/// load.
///
///   fer::Classifier classifier = fer::load_classifier("best.safetensors", fer::Device::cpu);
///   auto p = classifier.predict(fer::read_image("face.jpg"));
///   std::cout << classifier.class_names[p.predicted];
struct Classifier {
  std::unique_ptr<FERNet> model;
  RunConfig config;
  std::vector<std::string> class_names;
  Device device = Device::cpu;

  /// A picture of one face, of any size; it is resized to the network's input.
  SamplePrediction predict(const Image& image) const;
  std::vector<SamplePrediction> predict(const std::vector<Image>& images) const;
};

/// From a weight file or checkpoint written by `fer train`, whose metadata describe the network. FormatError
/// if the file lacks them, or tensors; the model is in evaluation mode.
Classifier load_classifier(const std::filesystem::path& path, Device device);

}  // namespace fer
