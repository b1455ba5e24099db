// Why a network answered as it did: Grad-CAM (Selvaraju et al., 2017) at any layer of the image's path, and
// attention rollout (Abnar and Zuidema, 2020) along the attention blocks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fer/models/fernet.h"
#include "fer/report/picture.h"

namespace fer {

/// Grad-CAM at features A (N x h x w x C), from which `rest` computes scores (N x K). With a_c the mean over
/// the pixels of d score / d A_c, the map is max(0, sum_c a_c A_c), not normalised. `classes` has one class
/// per sample. DataError if a class is out of range.
std::vector<HeatMap> grad_cam(const Tensor& features, const std::function<Variable(const Variable&)>& rest,
                              const std::vector<std::int64_t>& classes);

/// Grad-CAM of a network at one of its layers(), for network inputs x (N x S x S x 3). The network must be in
/// evaluation mode; its parameters receive no gradients.
/// ConfigError for an unknown layer.
std::vector<HeatMap> grad_cam(Network& network, const Tensor& x, const std::string& layer,
                              const std::vector<std::int64_t>& classes);

/// The heat map of Eq. 1, computed from the landmark feature, one per sample. With `conv` heat maps, which
/// differ by channel, the mean over the channels. ConfigError if the product is switched off.
std::vector<HeatMap> landmark_heat(FERNet& model, const Tensor& x);

/// Attention rollout. `attention` has the weights A_l of each block l = 1 ... L, N x heads x T x T, one row
/// per query. Returns for each sample R, heads x T x T:
///   R_h = (A_L,h + I) / 2 * product over the earlier blocks of (mean over heads of A_l + I) / 2.
/// Row q of R_h says how much of each input token of the fusion stream reaches output token q when the last
/// block uses only head h. ShapeError if the blocks differ in shape or rows are missing.
std::vector<Tensor> attention_rollout(const std::vector<Tensor>& attention);

/// One row of a rollout (query 0: the class token; 1 + y w + x: the pixel (y, x)) as a map over the h x w
/// pixels, without the class token's column. The value at the query's own pixel comes mostly from the
/// identity and says nothing about attention, so it is replaced by the mean of its neighbours.
HeatMap rollout_map(const Tensor& rollout, std::int64_t head, std::int64_t query, int height, int width);

}  // namespace fer
