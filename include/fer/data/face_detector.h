// Where the faces of a photograph are, and how each is cut out, so that it looks like the pictures of the
// data sets that a network is trained on.
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
  double score = 0;  ///< how sure the detector is; 0 is the least it reports
};

struct FaceDetectorOptions {
  /// The least side of a face that is looked for, as a share of the picture's longer side, in (0, 1]. One a
  /// little smaller may be found, too. The time that a search takes goes with the inverse, squared.
  double smallest = 0.05;
  bool operator==(const FaceDetectorOptions&) const = default;
};

class FaceDetector {
 public:
  virtual ~FaceDetector() = default;
  /// The faces of a picture of any size, from left to right; none where there is none. Faces of fewer than 40
  /// pixels a side are not found, whatever `smallest` says. Safe to call from several threads.
  virtual std::vector<DetectedFace> detect(const Image& image) const = 0;
};

/// The detector of this build. DeviceError, saying how to get one, if it has none; ConfigError for options
/// out of range.
std::unique_ptr<FaceDetector> make_face_detector(const FaceDetectorOptions& options = {});

/// "dlib 19.24, frontal faces"; empty if this build has no detector, and `reason`, unless null, then says
/// why.
std::string face_detector_name(std::string* reason = nullptr);

/// What part of the side of a data set's pictures the detector's box takes: 0.83 in FER2013, 0.64 in drawn
/// faces ("faces"). Other data sets were not measured and count as FER2013, whose tight crops they share.
/// docs/predict.md has the measurement.
double face_share(std::string_view dataset);

/// The square around a detected face that looks like the pictures of a data set with that share. Its centre
/// is 0.07 of the box's side above the box's, as it is in both data sets measured.
Box face_crop(const Box& face, double share = 0.83);

/// The part of the picture in the box; what lies outside of the picture repeats its border.
Image crop(const Image& image, const Box& box);

}  // namespace fer
