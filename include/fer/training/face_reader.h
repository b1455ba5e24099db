// From a photograph to the expressions of the people on it: faces found, cut out as the training data were,
// and read by the network.
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
#include "fer/training/evaluate.h"

namespace fer {

enum class CropMode {
  automatic,  ///< none for a square of at most 256 pixels a side, as the data sets have; else detect
  detect,     ///< the faces that the detector finds
  none,       ///< the whole picture is one face
};
/// "auto", "detect", "none"; ConfigError for another text.
CropMode parse_crop_mode(std::string_view text);

struct FaceReading {
  Box box;  ///< in pixels of the picture, cut at its border
  SamplePrediction prediction;
  std::optional<Landmarks> landmarks;  ///< fractions of the picture; none without a landmark head
  int turn = 0;  ///< degrees by which the picture was turned clockwise for the search: 0, 90, 180 or 270
};

class FaceReader {
 public:
  /// A detector is made when the first picture calls for one: DeviceError then if this build has none.
  explicit FaceReader(Classifier classifier, CropMode mode = CropMode::automatic,
                      FaceDetectorOptions detection = {});

  /// The faces of each picture, from left to right; none if it has fewer than 16 pixels a side.
  std::vector<FaceReading> read(const Image& image);
  /// The same of several pictures, which are searched in parallel.
  std::vector<std::vector<FaceReading>> read(const std::vector<Image>& images);

  /// How faces are looked for from here on.
  void set_detection(const FaceDetectorOptions& detection);
  /// From here on, a picture is also searched turned by 90, 180 and 270 degrees, which takes four times as
  /// long. The faces of the turn in which the detector is surest count; boxes and landmarks stay those of the
  /// picture as it is given.
  void try_turns(bool turns) { turns_ = turns; }

  const std::vector<std::string>& class_names() const { return classifier_.class_names; }
  const Classifier& classifier() const { return classifier_; }

 private:
  /// What the detector found, in a picture turned clockwise by so many quarters.
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

/// The weights to use where none are named: the file in the environment variable FER_WEIGHTS, if it is set;
/// else `small-ferplus.safetensors`, the first there is of: share/fer of the prefix that the running program
/// is installed in, the folder `weights` of the source tree that it was built from, share/fer of the prefix
/// that it was to be installed to. IoError, listing these, if there is none.
std::filesystem::path default_weights();

}  // namespace fer
