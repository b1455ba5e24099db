// Evaluation and prediction with a trained network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "fer/data/class_map.h"
#include "fer/data/faces.h"
#include "fer/data/loader.h"
#include "fer/graph/compiled.h"
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
  std::vector<float> target = {};    ///< soft labels only: one a class
};

/// Cross-entropy of one sample, natural logarithm: of its label, or against its soft labels.
double sample_loss(const SamplePrediction& prediction);

/// What an evaluation is of, for its reader.
struct EvaluationSubject {
  std::string dataset, split;
  std::string labels;           ///< DatasetInfo::labels
  std::string weights, sha256;  ///< name and checksum of the weight file; empty: a network in memory
  std::vector<std::string> dataset_classes = {}, network_classes = {};
  std::int64_t left_out = 0;  ///< samples of the split whose class is not among those of the confusion matrix
};

struct EvaluationResult {
  ConfusionMatrix confusion;
  double cross_entropy = 0;  ///< mean over the samples, natural logarithm; of soft labels, against them
  std::vector<SamplePrediction> samples;
  EvaluationSubject subject = {};
};

/// Runs `model` in evaluation mode over one epoch of `loader`, without gradients. With `outputs`, the numbers
/// of the network's scores for the data set's classes, the others count for nothing: a prediction is the most
/// probable of these classes.
EvaluationResult evaluate(FERNet& model, DataLoader& loader, Device device,
                          const std::vector<std::int64_t>& outputs = {});

/// The classes of two evaluations matched. DataError, naming both lists, if they have fewer than two in
/// common.
ClassMap comparable_classes(const std::vector<std::string>& first, const std::vector<std::string>& second);

/// The two evaluations over the classes that both have, as each would be had its network told only these
/// apart. DataError as of comparable_classes().
void restrict_to_common_classes(EvaluationResult& first, EvaluationResult& second);

/// Classes that are not among those compared, as they are spelt there.
struct LeftOverClasses {
  std::vector<std::string> of_dataset, of_network;
};
LeftOverClasses left_over_classes(const EvaluationResult& result);

/// What an evaluation is of, a line each: samples, data set, label rule, weights, and where the network's
/// classes are not the data set's, those compared and those left over.
std::string subject_text(const EvaluationResult& result);

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
  std::string note;   ///< what a person should know of how the weights were read; usually empty
  Device device = Device::cpu;
  std::filesystem::path file;                  ///< the weights were read from; empty: from none
  mutable std::shared_ptr<Compiled> compiled;  ///< of `model`, made by the first prediction

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

/// The data set's classes (first) matched with the network's (second). DataError, naming both lists, if they
/// have fewer than two in common.
ClassMap common_classes(const Classifier& classifier, const DatasetInfo& data);

/// Over the samples of `dataset` whose class the network knows, their pictures made what the network expects.
/// Where the classes are not the same, the measure is of those in common, under the data set's names and in
/// its order; predictions are the most probable of them. DataError as of common_classes(), or if no sample is
/// left. `cache` may hold the pictures already.
EvaluationResult evaluate(const Classifier& classifier, std::shared_ptr<const Dataset> dataset,
                          std::shared_ptr<SampleCache> cache = nullptr);

}  // namespace fer
