// Evaluation of a network on a data set.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fer/data/class_map.h"
#include "fer/data/loader.h"
#include "fer/models/network.h"
#include "fer/tensor/communicator.h"
#include "fer/training/metrics.h"

namespace fer {

struct SamplePrediction {
  std::int64_t index = 0;  ///< in the data set
  std::int64_t label = -1, predicted = 0;
  std::vector<float> probabilities;  ///< one per class
  std::vector<float> target = {};    ///< soft labels only: one per class
};

/// One prediction per row of scores, N x K; index and label are left to the caller.
std::vector<SamplePrediction> predictions_of(const Tensor& scores);

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
/// prediction is the most probable of these classes. With several `ranks`, each evaluates its share of the data
/// (LoaderOptions::rank), and all get the result of the whole.
EvaluationResult evaluate(Network& model, DataLoader& loader, Device device,
                          const std::vector<std::int64_t>& outputs = {}, Communicator& ranks = one_process());

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

}  // namespace fer
