// Tracks faces through the frames of a video and smooths their predictions.
//
//   fer::FaceTracker tracker(0.5);
//   for (fer::VideoFrame frame; video->next(frame);)
//     for (const fer::TrackedFace& face : tracker.follow(reader.read(frame.image), frame.seconds)) ...
#pragma once

#include <cstdint>
#include <vector>

#include "fer/inference/face_reader.h"

namespace fer {

struct TrackedFace {
  std::int64_t track = 0;     ///< number of the face in the video, from 0 in order of appearance
  SamplePrediction smoothed;  ///< weighted means of its probabilities, and the most probable class of these
};

class FaceTracker {
 public:
  /// A reading that is `memory` seconds old has 1/e of the weight of a new one. ConfigError unless `memory`
  /// is positive.
  explicit FaceTracker(double memory);

  /// Takes the faces of the next frame, shown at `seconds`, and returns them in the same order. A face
  /// continues the track whose last box it overlaps most, if the overlap is at least 0.3 of their union. A
  /// track ends when it was not seen for `memory` seconds or one second, whichever is longer.
  std::vector<TrackedFace> follow(const std::vector<FaceReading>& faces, double seconds);

 private:
  struct Track {
    std::int64_t number;
    Box box;
    double seconds, weight;
    std::vector<double> sums;  // of the probabilities, each times its weight
  };
  std::vector<Track*> matched(const std::vector<FaceReading>& faces);
  TrackedFace update(Track& track, const FaceReading& face, double seconds) const;

  double memory_;
  std::vector<Track> tracks_;
  std::int64_t count_ = 0;
};

}  // namespace fer
