// The paper's figures, of any network and any faces, as drawings.
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

/// `count` samples, the classes in turn (those that have samples), from different places of the data set.
std::vector<Sample> choose_faces(const Dataset& dataset, std::size_t count);
/// The samples with those numbers. ConfigError for one that the data set lacks.
std::vector<Sample> choose_faces(const Dataset& dataset, const std::vector<std::int64_t>& numbers);
/// Pictures of one face each, without labels.
std::vector<Sample> read_faces(const std::vector<std::filesystem::path>& files);

/// Figure 2: each face, its landmarks, and the heat map of Eq. 1 laid over it. Landmarks are those that the
/// network's landmark head finds, or, if it has none, those of the data set; without either, and without the
/// product, the row is left out and the title says so.
Drawing landmark_figure(const Classifier& net, const std::vector<Sample>& faces);

struct CamOptions {
  std::vector<std::string> layers;  ///< see Network::layers(); empty: the last two
  /// Whose score is explained: "predicted", "true", or the name of a class.
  std::string target = "predicted";
  const Classifier* other = nullptr;  ///< a second network, whose last layer follows as a row of its own
  std::string name, other_name;       ///< of the networks, in the titles of rows; needed with `other`
};
/// Figure 6: Grad-CAM of each face, a row a layer; each map from its own least to its greatest value.
/// ConfigError for an unknown layer or class, or for "true" with faces that have no label.
Drawing cam_figure(const Classifier& net, const std::vector<Sample>& faces, const CamOptions& options);

struct AttentionOptions {
  std::vector<int> points;  ///< landmarks (0 to 67), a row each; empty: rows of the parts of a face
};
/// Where the queries of one face look: a row a part of the face (its landmarks' queries averaged), a column a
/// head of the last block and their mean, each a map of attention rollout with the queries marked. Landmarks
/// as in landmark_figure(); ConfigError if there are none, or for a point out of range.
Drawing attention_figure(const Classifier& net, const Sample& face, const AttentionOptions& options = {});

/// Figure 8: faces that the first network gets wrong and the second right, and those the other way around, at
/// most `count` of each, those first whose probability of the true class changed most.
Drawing changes_figure(const Dataset& dataset, const EvaluationResult& first, const EvaluationResult& second,
                       const std::string& first_name, const std::string& second_name, std::size_t count);

struct TokensOptions {
  std::vector<std::string> methods{"pca", "tsne"};
  std::size_t count = 400;  ///< faces at most, spread evenly over the data set
  double perplexity = 30;
};
/// The class tokens of the data set's faces in two dimensions, a plot a method; a mark's size is the arousal
/// where that is known. Below stands how close the neutral tokens lie (Eq. 9 pulls them together): their root
/// mean squared distance from their own mean, beside that of all tokens. ConfigError for an unknown method.
Drawing tokens_figure(const Classifier& net, const Dataset& dataset, const TokensOptions& options = {});

/// The class tokens themselves, N x D, of those samples.
Tensor class_tokens(const Classifier& net, const std::vector<Sample>& faces);

}  // namespace fer
