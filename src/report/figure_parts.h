// Shared by the figures.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fer/models/fernet.h"
#include "fer/report/figures.h"
#include "study/number_text.h"

namespace fer::detail {

/// The side of the pictures below the maps. Small faces are enlarged to it, so that maps stay smooth.
inline constexpr int canvas_side = 112;

/// RGB, enlarged if the smaller side is below canvas_side, unless that would make the longer side huge.
Image canvas(const Image& picture);
std::vector<Image> pictures_of(const std::vector<Sample>& faces);
/// The network if it is a FERNet; ConfigError otherwise, as only a FERNet has the features of these figures.
FERNet& fernet_of(const Classifier& net);
/// "happiness", or "" for a face without a label.
std::string label_of(const Classifier& net, const Sample& face);

/// The landmarks of each face: from the network if it has a landmark head, else from the data set; an empty
/// list if neither has them. `source` becomes "network", "data set" or "".
std::vector<Landmarks> landmarks_of(const Classifier& net, const std::vector<Sample>& faces,
                                    std::string& source);

}  // namespace fer::detail
