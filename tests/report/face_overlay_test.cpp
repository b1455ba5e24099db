// The overlay on a photograph: what is drawn, and where.
#include "fer/report/face_overlay.h"

#include <doctest/doctest.h>

#include "fer/report/colour.h"

using namespace fer;

TEST_CASE("overlay: frames, labels and points, each where it belongs") {
  const auto reading = [](Box box, std::int64_t predicted) {
    FaceReading face;
    face.box = box;
    face.prediction.predicted = predicted;
    face.prediction.probabilities.assign(7, 0.02f);
    face.prediction.probabilities[static_cast<std::size_t>(predicted)] = 0.88f;
    return face;
  };
  const Image plain(480, 640, 3, 128);
  FaceReading face = reading({200, 150, 160, 160}, 3);
  face.landmarks = Landmarks{};
  face.landmarks->fill({0.45f, 0.5f});
  const Image one = overlay_faces(plain, {face}, expression_names());
  REQUIRE(one.width == 640);
  const auto colour = [&](int y, int x) { return Colour{one.at(y, x, 0), one.at(y, x, 1), one.at(y, x, 2)}; };
  CHECK(colour(151, 300) == palette(3));  // the frame
  CHECK(colour(309, 300) == palette(3));
  CHECK(colour(230, 200) == palette(3));
  CHECK(colour(230, 359) == palette(3));
  CHECK(colour(148, 202) == palette(3));             // the label above it
  CHECK(colour(240, 288) == Colour{255, 255, 255});  // a point
  CHECK(colour(230, 250) == Colour{128, 128, 128});  // the face is left alone
  CHECK(colour(400, 500) == Colour{128, 128, 128});

  // at the top there is only room below
  const Image top = overlay_faces(plain, {reading({200, 2, 160, 160}, 3)}, expression_names());
  CHECK(Colour{top.at(164, 202, 0), top.at(164, 202, 1), top.at(164, 202, 2)} == palette(3));
  // a small grey crop is enlarged until its label can be read
  const Image small = overlay_faces(Image(48, 48, 1, 60), {reading({0, 0, 48, 48}, 6)}, expression_names());
  CHECK(small.width == 336);
  CHECK(small.channels == 3);
  CHECK(overlay_faces(plain, {}, expression_names()) == plain);
}
