// Classifier: a trained network with everything needed to use it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fer/data/faces.h"
#include "fer/training/evaluate.h"
#include "fer/training/network_description.h"

namespace fer {

/// A trained network with everything needed to use it. `fer predict` loads it, and so can other programs.
///
///   fer::Classifier classifier = fer::load_classifier("best.safetensors", fer::Device::cpu);
///   auto p = classifier.predict(fer::read_image("face.jpg"));
///   std::cout << classifier.class_names[p.predicted];
struct Classifier {
  std::unique_ptr<Network> model;
  RunConfig config;
  std::vector<std::string> class_names;
  InputSpec expects;  ///< of a picture
  std::string note;   ///< for the user: anything unusual about how the weights were read; usually empty
  Device device = Device::cpu;
  std::filesystem::path file;  ///< from which the weights were read; may be empty

  /// Takes a picture of one face, of any size and colour, and converts it to what the network expects.
  SamplePrediction predict(const Image& image) const;
  /// `landmarks`, unless null, receives the 68 points of each face as fractions of its picture; it is empty
  /// if the network has no landmark head.
  std::vector<SamplePrediction> predict(const std::vector<Image>& images,
                                        std::vector<Landmarks>* landmarks = nullptr) const;
  /// The network's input for these pictures: resized, grey if it expects that, normalised. N x S x S x 3, on
  /// `device`.
  Tensor input(const std::vector<Image>& images) const;
};

/// Loads a weight file or checkpoint written by `fer train`, whose metadata describe the network, or a run
/// folder (weight_file). The model is in evaluation mode. FormatError if the file lacks the metadata or
/// tensors, or if its metadata contradict each other (parse_description).
Classifier load_classifier(const std::filesystem::path& path, Device device);

/// Matches the data set's classes (first) with the network's (second). DataError, naming both lists, if they
/// have fewer than two in common.
ClassMap common_classes(const Classifier& classifier, const DatasetInfo& data);

/// Evaluates on the samples of `dataset` whose class the network knows, with pictures converted to what the
/// network expects. If the classes differ, only the common ones count, with the data set's names and order; a
/// prediction is the most probable of them. DataError as for common_classes(), or if no sample is left.
/// `cache` may already hold the pictures. With several `ranks`, each evaluates its share of the data, and all
/// get the result of the whole.
EvaluationResult evaluate(const Classifier& classifier, std::shared_ptr<const Dataset> dataset,
                          std::shared_ptr<SampleCache> cache = nullptr, Communicator& ranks = one_process());

}  // namespace fer
