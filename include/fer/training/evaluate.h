// Evaluation and prediction with a trained network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fer/data/class_map.h"
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
  std::vector<float> probabilities;  ///< one per class
  std::vector<float> target = {};    ///< soft labels only: one per class
};

/// Cross-entropy of one sample (natural logarithm) against its label, or its soft labels if it has them.
double sample_loss(const SamplePrediction& prediction);

/// What an evaluation was run on.
struct EvaluationSubject {
  std::string dataset, split;
  std::string labels;           ///< DatasetInfo::labels
  std::string weights, sha256;  ///< name and checksum of the weight file; empty for a network in memory
  std::vector<std::string> dataset_classes = {}, network_classes = {};
  std::int64_t left_out = 0;  ///< samples of the split whose class is not in the confusion matrix
};

struct EvaluationResult {
  ConfusionMatrix confusion;
  double cross_entropy = 0;  ///< mean of sample_loss() over the samples
  std::vector<SamplePrediction> samples;
  EvaluationSubject subject = {};
};

/// Runs `model` in evaluation mode over one epoch of `loader`, without gradients. `outputs`, if given, holds
/// the index of the network's score for each class of the data set. Other scores are then ignored: a
/// prediction is the most probable of these classes.
EvaluationResult evaluate(FERNet& model, DataLoader& loader, Device device,
                          const std::vector<std::int64_t>& outputs = {});

/// Matches the classes of two evaluations. DataError, naming both lists, if they have fewer than two in
/// common.
ClassMap comparable_classes(const std::vector<std::string>& first, const std::vector<std::string>& second);

/// Restricts the two evaluations to the classes that both have, as if each network had only these outputs.
/// DataError as for comparable_classes().
void restrict_to_common_classes(EvaluationResult& first, EvaluationResult& second);

/// Classes that are not compared, in the spelling of the data set or the network.
struct LeftOverClasses {
  std::vector<std::string> of_dataset, of_network;
};
LeftOverClasses left_over_classes(const EvaluationResult& result);

/// The subject of an evaluation, one line each: samples, data set, label rule, weights, and, if the classes
/// of network and data set differ, those compared and those left over.
std::string subject_text(const EvaluationResult& result);

/// An evaluation as JSON, with or without its samples.
std::string evaluation_to_json(const EvaluationResult& result, bool with_samples);
/// Reads it back. FormatError, naming `source`, if the text is not an evaluation or lacks the samples.
EvaluationResult evaluation_from_json(const std::string& text, const std::string& source);

/// A trained network with everything needed to use it. `fer predict` loads it, and so can other programs.
///
///   fer::Classifier classifier = fer::load_classifier("best.safetensors", fer::Device::cpu);
///   auto p = classifier.predict(fer::read_image("face.jpg"));
///   std::cout << classifier.class_names[p.predicted];
struct Classifier {
  std::unique_ptr<FERNet> model;
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

/// `weights` itself, or its best.safetensors if it is a run folder.
std::filesystem::path weight_file(const std::filesystem::path& weights);

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
/// `cache` may already hold the pictures.
EvaluationResult evaluate(const Classifier& classifier, std::shared_ptr<const Dataset> dataset,
                          std::shared_ptr<SampleCache> cache = nullptr);

}  // namespace fer
