// What the figures share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fer/report/figures.h"

namespace fer::detail {

/// Side of the pictures that maps are laid over: small faces are enlarged to it, so that maps stay smooth.
inline constexpr int canvas_side = 112;

/// RGB, enlarged if its smaller side is below canvas_side, but not where that makes the longer one huge.
Image canvas(const Image& picture);
std::vector<Image> pictures_of(const std::vector<Sample>& faces);
/// "94 %"
std::string percent(double share);
/// "happiness", or "" for a face without a label.
std::string label_of(const Classifier& net, const Sample& face);

/// Landmarks of each face: the network's own if it has a landmark head, else the data set's; an empty list if
/// there are none of either. `source` becomes "network", "data set" or "".
std::vector<Landmarks> landmarks_of(const Classifier& net, const std::vector<Sample>& faces,
                                    std::string& source);

}  // namespace fer::detail
