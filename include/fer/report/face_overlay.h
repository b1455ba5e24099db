// Draws the result of a prediction on a photograph: a frame around each face, its expression and probability,
// and its landmarks.
#pragma once

#include <string>
#include <vector>

#include "fer/data/image.h"
#include "fer/inference/face_reader.h"

namespace fer {

/// `image` with the faces drawn on it, RGB. Line width and text size scale with the picture. A picture whose
/// longer side has fewer than 320 pixels is first enlarged by a whole factor, so that labels are legible. A
/// label is placed above its face if there is room, else below it, else inside.
Image overlay_faces(const Image& image, const std::vector<FaceReading>& faces,
                    const std::vector<std::string>& class_names);

}  // namespace fer
