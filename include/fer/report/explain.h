// Why a network answered as it did: Grad-CAM (Selvaraju et al., 2017) at any layer of the image's path, and
// attention rollout (Abnar and Zuidema, 2020) along the attention blocks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fer/models/fernet.h"
#include "fer/report/picture.h"

namespace fer {

/// Grad-CAM of features A (N x h x w x C) for scores that `rest` makes of them (N x K): with a_c the mean
/// over the pixels of d score / d A_c, the map is max(0, sum_c a_c A_c). classes: one for each of the N
/// samples. Not normalised. DataError if a class is out of range.
std::vector<HeatMap> grad_cam(const Tensor& features, const std::function<Variable(const Variable&)>& rest,
                              const std::vector<std::int64_t>& classes);

/// Grad-CAM of a network at one of its layers(), for network inputs x (N x S x S x 3). The network must be in
/// evaluation mode; parameters get no gradients. ConfigError for an unknown layer.
std::vector<HeatMap> grad_cam(Network& network, const Tensor& x, const std::string& layer,
                              const std::vector<std::int64_t>& classes);

/// The heat map of Eq. 1 that the landmark feature lays over the image, a map a sample. `conv` heat maps
/// (one a channel) are averaged over the channels. ConfigError if the product is switched off.
std::vector<HeatMap> landmark_heat(FERNet& model, const Tensor& x);

/// Attention of each block, weights N x heads x T x T (a row a query), into rollouts R, heads x T x T a
/// sample:  R_h = (A_L,h + I) / 2 * product over the earlier blocks of (mean over heads of A_l + I) / 2.
/// Row q of R_h says how much each input token of the fusion stream reaches output token q when the last
/// block looks through head h alone. ShapeError if the blocks differ in shape or rows are missing.
std::vector<Tensor> attention_rollout(const std::vector<Tensor>& attention);

/// One row of a rollout (query 0: the class token; 1 + y w + x: the pixel (y, x)) as a map over the h x w
/// pixels, without the class token's column. The query's own pixel holds mostly the identity, which says
/// nothing about where it looks: its value becomes the mean of its neighbours'.
HeatMap rollout_map(const Tensor& rollout, std::int64_t head, std::int64_t query, int height, int width);

}  // namespace fer
