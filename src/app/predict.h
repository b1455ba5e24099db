// The parts of `fer predict`: its input pictures and videos, and its output formats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fer/inference/face_reader.h"
#include "fer/inference/face_tracker.h"

namespace fer::app {

/// A file to read and, unless empty, the path of its overlay.
struct PredictInput {
  std::filesystem::path file, overlay;
  bool video = false;
  std::string problem{};  ///< why there is nothing to read: it does not exist or is an empty folder
};

/// Files are taken as given. A folder contributes its pictures and videos in the order of their paths; with
/// `recursive`, also those of its subfolders. `overlay` is empty, a file for a single input, or a folder in
/// which each overlay has its input's name. ConfigError if an overlay would overwrite something it should
/// not.
std::vector<PredictInput> predict_inputs(const std::vector<std::string>& arguments, bool recursive,
                                         const std::string& overlay);

/// A picture, or a frame of a video, and the faces read from it.
struct PictureReading {
  std::string source;
  std::optional<std::int64_t> frame;  ///< if it is a frame of a video
  double seconds = 0;                 ///< the frame's time in the video
  int width = 0, height = 0;
  std::vector<FaceReading> faces;
  std::vector<TrackedFace> tracked{};  ///< one per face if labels are smoothed, else empty
};

/// Writes readings to the standard output as they arrive.
class PredictionWriter {
 public:
  virtual ~PredictionWriter() = default;
  virtual void write(const PictureReading& reading) = 0;
  /// Called for a file that could not be read; the message has already been shown.
  virtual void failed(const std::string& source, const std::string& message) = 0;
  virtual void finish() {}
};

enum class PredictionFormat { text, json, csv };
/// Details about a face that are written only on request.
struct PredictionDetails {
  bool turns = false;     ///< the angle by which the picture was turned, in degrees
  bool smoothed = false;  ///< the track and its smoothed label
};
std::unique_ptr<PredictionWriter> make_prediction_writer(PredictionFormat format,
                                                         std::vector<std::string> class_names,
                                                         const PredictionDetails& details);

}  // namespace fer::app
