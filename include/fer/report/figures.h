// The paper's figures for any network and any faces, as drawings.
//
//   fer::Classifier net = fer::load_classifier("runs/mine", fer::Device::cpu);
//   auto faces = fer::choose_faces(*dataset, 6);
//   fer::write_drawing("figure2.svg", fer::landmark_figure(net, faces), "Landmarks and heat map");
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fer/data/dataset.h"
#include "fer/inference/classifier.h"
#include "fer/report/charts.h"
#include "fer/report/drawing.h"
#include "fer/report/picture.h"
#include "fer/study/comparison.h"

namespace fer {

/// `count` samples that cycle through the classes (those with samples), from different places of the data
/// set.
std::vector<Sample> choose_faces(const Dataset& dataset, std::size_t count);
/// The samples with the given indices. ConfigError if an index is out of range.
std::vector<Sample> choose_faces(const Dataset& dataset, const std::vector<std::int64_t>& numbers);
/// Pictures of one face each, without labels.
std::vector<Sample> read_faces(const std::vector<std::filesystem::path>& files);

/// Figure 2: each face, its landmarks, and the heat map of Eq. 1 over it. The landmarks come from the
/// network's landmark head or, if it has none, from the data set. If there are no landmarks, or no product,
/// that row is left out and the title says so.
Drawing landmark_figure(const Classifier& net, const std::vector<Sample>& faces);

struct CamOptions {
  std::vector<std::string> layers;  ///< see Network::layers(); empty: the last two
  /// The class whose score is explained: "predicted", "true", or the name of a class.
  std::string target = "predicted";
  const Classifier* other = nullptr;  ///< a second network, whose last layer is added as one more row
  std::string name, other_name;       ///< of the networks, for row titles; required with `other`
};
/// Figure 6: Grad-CAM of each face, one row per layer. Each map is scaled from its own minimum to its
/// maximum. ConfigError for an unknown layer or class, or for "true" with faces that have no label.
Drawing cam_figure(const Classifier& net, const std::vector<Sample>& faces, const CamOptions& options);

struct AttentionOptions {
  std::vector<int> points;  ///< landmarks (0 to 67), one row each; empty: one row per part of the face
};
/// Where the queries of one face attend. Each row is a part of the face (the mean over the queries at its
/// landmarks), each column a head of the last block, and one column is the mean over the heads. A cell is a
/// map of attention rollout with the queries marked. Landmarks are chosen as in landmark_figure();
/// ConfigError if there are none, or for a point out of range.
Drawing attention_figure(const Classifier& net, const Sample& face, const AttentionOptions& options = {});

/// Figure 8: faces that the first network gets wrong and the second gets right, and the reverse; at most
/// `count` of each, sorted by how much the probability of the true class changed, largest change first.
Drawing changes_figure(const Dataset& dataset, const EvaluationResult& first, const EvaluationResult& second,
                       const std::string& first_name, const std::string& second_name, std::size_t count);

struct TokensOptions {
  std::vector<std::string> methods{"pca", "tsne"};
  std::size_t count = 400;  ///< maximum number of faces, spread evenly over the data set
  double perplexity = 30;
};
/// The class tokens of the data set's faces in two dimensions, one plot per method. If the data set has
/// arousal values, they set the size of the marks. A note says how close together the neutral tokens lie
/// (Eq. 9 pulls them together): their root mean squared distance from their mean, and that of all tokens from
/// theirs. ConfigError for an unknown method.
Drawing tokens_figure(const Classifier& net, const Dataset& dataset, const TokensOptions& options = {});

/// The class tokens of the given samples, N x D.
Tensor class_tokens(const Classifier& net, const std::vector<Sample>& faces);

}  // namespace fer
