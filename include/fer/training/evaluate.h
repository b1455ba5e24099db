// Evaluation and prediction with a trained network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fer/data/faces.h"
#include "fer/data/loader.h"
#include "fer/models/fernet.h"
#include "fer/training/checkpoint.h"
#include "fer/training/config.h"
#include "fer/training/metrics.h"
#include "fer/training/network_description.h"

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

/// An evaluation as JSON; without samples unless asked for.
std::string evaluation_to_json(const EvaluationResult& result, bool with_samples);
/// Reads it back. FormatError, naming `source`, if the text is none or lacks the samples.
EvaluationResult evaluation_from_json(const std::string& text, const std::string& source);

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
  InputSpec expects;  ///< of a picture
  std::string note;   ///< NetworkDescription::note
  Device device = Device::cpu;

  /// A picture of one face, of any size and colour; it is made what the network expects.
  SamplePrediction predict(const Image& image) const;
  /// With `landmarks`, which may be null, also the 68 points of each face, as fractions of its picture; none
  /// if the network has no landmark head.
  std::vector<SamplePrediction> predict(const std::vector<Image>& images,
                                        std::vector<Landmarks>* landmarks = nullptr) const;
  /// What the network is fed for these pictures: resized, grey if it expects that, normalised. N x S x S x 3,
  /// on `device`.
  Tensor input(const std::vector<Image>& images) const;
};

/// The file that `weights` names: itself, or best.safetensors where it is a run folder.
std::filesystem::path weight_file(const std::filesystem::path& weights);

/// From a weight file or checkpoint written by `fer train`, whose metadata describe the network, or from a
/// run folder (weight_file). FormatError if the file lacks the metadata, or tensors, or
/// its metadata contradict each other (parse_description); the model is in evaluation mode.
Classifier load_classifier(const std::filesystem::path& path, Device device);

/// DataError, naming both lists, unless the data set has the classes that the network was trained on.
void require_same_classes(const Classifier& classifier, const DatasetInfo& data);

/// Over all of `dataset`, its pictures made what the network expects. DataError if the data set has other
/// classes than the network was trained on.
EvaluationResult evaluate(const Classifier& classifier, std::shared_ptr<const Dataset> dataset);

}  // namespace fer
