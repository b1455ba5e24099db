#include "fer/inference/face_tracker.h"

#include <algorithm>
#include <cmath>

#include "fer/error.h"

namespace fer {
namespace {

constexpr double least_overlap = 0.3;  // intersection over union of two boxes of the same face

double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
  const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  const double common = width * height;
  return common / (1.0 * a.width * a.height + 1.0 * b.width * b.height - common);
}

}  // namespace

FaceTracker::FaceTracker(double memory) : memory_(memory) {
  require<ConfigError>(memory > 0 && std::isfinite(memory),
                       "faces are smoothed over a positive number of seconds, got ", memory);
}

/// The track of each face, null for a new one. Pairs with the largest overlap are matched first.
std::vector<FaceTracker::Track*> FaceTracker::matched(const std::vector<FaceReading>& faces) {
  struct Pair {
    double overlap;
    std::size_t track, face;
  };
  std::vector<Pair> pairs;
  for (std::size_t t = 0; t < tracks_.size(); ++t) {
    for (std::size_t f = 0; f < faces.size(); ++f) {
      const double share = overlap(tracks_[t].box, faces[f].box);
      if (share >= least_overlap) pairs.push_back({share, t, f});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.overlap > b.overlap; });
  std::vector<Track*> of_face(faces.size(), nullptr);
  std::vector<bool> taken(tracks_.size(), false);
  for (const Pair& p : pairs) {
    if (of_face[p.face] || taken[p.track]) continue;
    of_face[p.face] = &tracks_[p.track];
    taken[p.track] = true;
  }
  return of_face;
}

TrackedFace FaceTracker::update(Track& track, const FaceReading& face, double seconds) const {
  const double decay = std::exp(-std::max(0.0, seconds - track.seconds) / memory_);
  track.box = face.box;
  track.seconds = seconds;
  track.weight = track.weight * decay + 1;
  TrackedFace tracked{track.number, face.prediction};
  std::vector<float>& probabilities = tracked.smoothed.probabilities;
  for (std::size_t c = 0; c < probabilities.size(); ++c) {
    track.sums[c] = track.sums[c] * decay + probabilities[c];
    probabilities[c] = static_cast<float>(track.sums[c] / track.weight);
  }
  tracked.smoothed.predicted =
      std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin();
  return tracked;
}

std::vector<TrackedFace> FaceTracker::follow(const std::vector<FaceReading>& faces, double seconds) {
  const double patience = std::max(memory_, 1.0);
  std::erase_if(tracks_, [&](const Track& track) { return seconds - track.seconds > patience; });
  const std::vector<Track*> of_face = matched(faces);
  std::vector<TrackedFace> tracked;
  std::vector<Track> begun;
  for (std::size_t f = 0; f < faces.size(); ++f) {
    if (of_face[f]) {
      tracked.push_back(update(*of_face[f], faces[f], seconds));
    } else {
      begun.push_back({count_++, faces[f].box, seconds, 0,
                       std::vector<double>(faces[f].prediction.probabilities.size(), 0.0)});
      tracked.push_back(update(begun.back(), faces[f], seconds));
    }
  }
  tracks_.insert(tracks_.end(), begun.begin(), begun.end());
  return tracked;
}

}  // namespace fer
