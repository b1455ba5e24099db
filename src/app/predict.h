// What `fer predict` is made of: the pictures and videos it is given, and the forms in which it answers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fer/training/face_reader.h"
#include "fer/training/face_tracker.h"

namespace fer::app {

/// A file to read and, unless empty, where its overlay goes.
struct PredictInput {
  std::filesystem::path file, overlay;
  bool video = false;
  std::string problem{};  ///< why there is nothing to read: it does not exist, or is an empty folder
};

/// Files as given; of a folder, its pictures and videos in the order of their paths, with `recursive` those
/// of its folders too. `overlay`: empty, a file for a single input, or else a folder in which each has its
/// name. ConfigError for an overlay that would overwrite something it should not.
std::vector<PredictInput> predict_inputs(const std::vector<std::string>& arguments, bool recursive,
                                         const std::string& overlay);

/// A picture, or a frame of a video, and what was read from it.
struct PictureReading {
  std::string source;
  std::optional<std::int64_t> frame;  ///< of a video
  double seconds = 0;                 ///< when that frame is shown
  int width = 0, height = 0;
  std::vector<FaceReading> faces;
  std::vector<TrackedFace> tracked{};  ///< one a face where labels are smoothed, else none
};

/// Writes readings to the standard output, each as it comes.
class PredictionWriter {
 public:
  virtual ~PredictionWriter() = default;
  virtual void write(const PictureReading& reading) = 0;
  /// A file that could not be read; the message has been shown.
  virtual void failed(const std::string& source, const std::string& message) = 0;
  virtual void finish() {}
};

enum class PredictionFormat { text, json, csv };
/// What is told of a face only where it was asked for.
struct PredictionDetails {
  bool turns = false;     ///< by how many degrees the picture was turned
  bool smoothed = false;  ///< the track and its smoothed label
};
std::unique_ptr<PredictionWriter> make_prediction_writer(PredictionFormat format,
                                                         std::vector<std::string> class_names,
                                                         const PredictionDetails& details);

}  // namespace fer::app
