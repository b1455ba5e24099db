// From a photograph to the expressions of the people in it: finds the faces, crops them like the training
// data, and runs the network on them.
//
//   fer::FaceReader reader(fer::load_classifier(fer::default_weights(), fer::Device::cpu));
//   for (const fer::FaceReading& face : reader.read(fer::read_image("photograph.jpg")))
//     std::cout << reader.class_names()[face.prediction.predicted] << "\n";
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fer/data/face_detector.h"
#include "fer/data/faces.h"
#include "fer/inference/classifier.h"

namespace fer {

enum class CropMode {
  automatic,  ///< none for a square of at most 256 pixels a side, as in the data sets; else detect
  detect,     ///< the faces that the detector finds
  none,       ///< the whole picture is one face
};
/// "auto", "detect" or "none"; ConfigError otherwise.
CropMode parse_crop_mode(std::string_view text);

struct FaceReading {
  Box box;  ///< in pixels of the picture, clipped to it
  SamplePrediction prediction;
  std::optional<Landmarks> landmarks;  ///< fractions of the picture; none without a landmark head
  int turn = 0;  ///< clockwise rotation of the picture in the search: 0, 90, 180 or 270 degrees
};

class FaceReader {
 public:
  /// The detector is created when a picture first needs it; that throws DeviceError if this build has none.
  explicit FaceReader(Classifier classifier, CropMode mode = CropMode::automatic,
                      FaceDetectorOptions detection = {});

  /// The faces of each picture, from left to right; none if it has fewer than 16 pixels a side. For a network
  /// that is not made for faces, the whole picture is one reading.
  std::vector<FaceReading> read(const Image& image);
  /// The same for several pictures, which are searched in parallel.
  std::vector<std::vector<FaceReading>> read(const std::vector<Image>& images);

  /// Sets how later calls look for faces.
  void set_detection(const FaceDetectorOptions& detection);
  /// If true, later calls also search each picture rotated by 90, 180 and 270 degrees, which takes four times
  /// as long. They use the faces of the rotation in which the detector is most certain. Boxes and landmarks
  /// always refer to the picture as given.
  void try_turns(bool turns) { turns_ = turns; }

  const std::vector<std::string>& class_names() const { return classifier_.class_names; }
  const Classifier& classifier() const { return classifier_; }

 private:
  /// What the detector found in a picture rotated clockwise by `quarters` quarter turns.
  struct Search {
    int quarters = 0;
    std::vector<Box> boxes;
  };
  Search look_at(const Image& image) const;

  Classifier classifier_;
  CropMode mode_;
  FaceDetectorOptions detection_;
  std::unique_ptr<FaceDetector> detector_;
  bool turns_ = false;
};

/// The weights to use if none are named: the file named by the environment variable FER_WEIGHTS, if it is
/// set; otherwise the first `small-ferplus.safetensors` found in
///   - share/fer of the prefix that the running program is installed in,
///   - the folder `weights` of the source tree that it was built from,
///   - share/fer of the install prefix configured at build time.
/// IoError, listing these, if there is none.
std::filesystem::path default_weights();

}  // namespace fer
