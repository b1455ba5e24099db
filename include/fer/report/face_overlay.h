// A photograph with what was read from it: a frame around each face, its expression and probability, its
// landmarks.
#pragma once

#include <string>
#include <vector>

#include "fer/data/image.h"
#include "fer/inference/face_reader.h"

namespace fer {

/// `image` with the faces drawn on it, RGB. Lines and letters grow with the picture; one of fewer than 320
/// pixels a side is enlarged first (by whole numbers), so that its labels can be read. A label stands above
/// its face where there is room for it, else below it, else inside.
Image overlay_faces(const Image& image, const std::vector<FaceReading>& faces,
                    const std::vector<std::string>& class_names);

}  // namespace fer
