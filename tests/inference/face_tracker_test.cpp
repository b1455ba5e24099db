// Faces followed from frame to frame, and their labels smoothed.
#include "fer/inference/face_tracker.h"

#include <doctest/doctest.h>

#include <cmath>

#include "fer/error.h"

namespace fer::test {
namespace {

FaceReading face_at(int x, float first) {
  SamplePrediction prediction;
  prediction.probabilities = {first, 1 - first};
  prediction.predicted = first >= 0.5f ? 0 : 1;
  return {{x, 50, 100, 100}, prediction, {}};
}

}  // namespace

TEST_CASE("a label is the mean of its track's probabilities, of which older ones fade") {
  FaceTracker tracker(0.5);
  CHECK(tracker.follow({face_at(10, 0.9f)}, 0)[0].smoothed.probabilities[0] == doctest::Approx(0.9));
  const auto second = tracker.follow({face_at(14, 0.2f)}, 0.25);
  const double old = std::exp(-0.5), mean = (0.9 * old + 0.2) / (old + 1);
  CHECK(second[0].track == 0);
  CHECK(second[0].smoothed.probabilities[0] == doctest::Approx(mean));
  CHECK(second[0].smoothed.probabilities[1] == doctest::Approx(1 - mean));
  CHECK(second[0].smoothed.predicted == (mean > 0.5 ? 0 : 1));
  // one frame in which the mouth is hidden does not change the label of a second
  FaceTracker steady(1);
  for (int i = 0; i < 10; ++i) steady.follow({face_at(10, 0.9f)}, i / 10.0);
  CHECK(steady.follow({face_at(10, 0.1f)}, 1)[0].smoothed.predicted == 0);
}

TEST_CASE("faces keep their tracks when they move, change places in the list, or are missed for a moment") {
  FaceTracker tracker(0.5);
  const auto first = tracker.follow({face_at(0, 1), face_at(300, 0)}, 0);
  CHECK(first[0].track == 0);
  CHECK(first[1].track == 1);
  const auto swapped = tracker.follow({face_at(310, 0), face_at(30, 1), face_at(600, 1)}, 0.1);
  CHECK(swapped[0].track == 1);
  CHECK(swapped[0].smoothed.predicted == 1);
  CHECK(swapped[1].track == 0);
  CHECK(swapped[2].track == 2);
  CHECK(tracker.follow({}, 0.2).empty());
  CHECK(tracker.follow({face_at(320, 0)}, 1.0)[0].track == 1);  // seen 0.9 s ago
  CHECK(tracker.follow({face_at(40, 1)}, 1.2)[0].track == 3);   // 1.1 s ago: another face
}

TEST_CASE("two faces that meet take the boxes that they overlap most") {
  FaceTracker tracker(1);
  tracker.follow({face_at(0, 1), face_at(60, 0)}, 0);
  const auto met = tracker.follow({face_at(20, 1), face_at(50, 0)}, 0.1);
  CHECK(met[0].track == 0);
  CHECK(met[1].track == 1);
}

TEST_CASE("smoothing needs a positive time") {
  CHECK_THROWS_WITH_AS(FaceTracker(0), "faces are smoothed over a positive number of seconds, got 0",
                       ConfigError);
}

}  // namespace fer::test
