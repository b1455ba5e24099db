// Finds the faces in a photograph and crops each so that it looks like the pictures of the data sets that a
// network is trained on.
//
//   const auto detector = fer::make_face_detector();
//   for (const fer::DetectedFace& face : detector->detect(photograph))
//     fer::write_image("face.png", fer::crop(photograph, fer::face_crop(face.box)));
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fer/data/image.h"

namespace fer {

/// Pixels of a picture; a box may reach beyond its border.
struct Box {
  int x = 0, y = 0, width = 0, height = 0;
  bool operator==(const Box&) const = default;
};

struct DetectedFace {
  Box box;           ///< from the brows to the chin, square
  double score = 0;  ///< confidence of the detector; 0 is the lowest that it reports
};

struct FaceDetectorOptions {
  /// The smallest side of a face to look for, as a share of the picture's longer side, in (0, 1]. Slightly
  /// smaller faces may be found too. The search time is proportional to 1 / smallest^2.
  double smallest = 0.05;
  bool operator==(const FaceDetectorOptions&) const = default;
};

class FaceDetector {
 public:
  virtual ~FaceDetector() = default;
  /// The faces of a picture of any size, from left to right; there may be none. Faces of fewer than 40 pixels
  /// a side are not found, regardless of `smallest`. Thread-safe.
  virtual std::vector<DetectedFace> detect(const Image& image) const = 0;
};

/// The detector of this build. DeviceError, saying how to get one, if it has none; ConfigError for options
/// out of range.
std::unique_ptr<FaceDetector> make_face_detector(const FaceDetectorOptions& options = {});

/// "dlib 19.24, frontal faces"; empty if this build has no detector, and `reason`, unless null, then says
/// why.
std::string face_detector_name(std::string* reason = nullptr);

/// The side of the detector's box as a share of the side of a data set's pictures: 0.83 in FER2013, 0.64 in
/// drawn faces ("faces"). Other data sets were not measured; FER2013's value is used for them, because they
/// have tight crops too. docs/predict.md has the measurement.
double face_share(std::string_view dataset);

/// The square around a detected face that looks like the pictures of a data set with that share. Its centre
/// is above the box's centre by 0.07 of the box's side, as in both measured data sets.
Box face_crop(const Box& face, double share = 0.83);

/// The part of the picture inside the box; parts outside of the picture repeat its border.
Image crop(const Image& image, const Box& box);

}  // namespace fer
