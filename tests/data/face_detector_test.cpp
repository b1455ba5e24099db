// Face detection in drawn scenes, and cropping.
#include <cmath>
#include <cstdlib>

#include "data/helpers.h"
#include "data/scene.h"
#include "fer/data/dataset.h"
#include "fer/data/face_detector.h"

using namespace fer;
using namespace fer::test;

namespace {

/// A detector; if there is none, prints a note.
std::unique_ptr<FaceDetector> detector_or_skip(const FaceDetectorOptions& options = {}) {
  std::string reason;
  if (!face_detector_name(&reason).empty()) return make_face_detector(options);
  MESSAGE("skipped: ", reason);
  return nullptr;
}

/// Whether the crop of `face` for drawn faces is close to the square that the face was drawn in.
bool covers(const DetectedFace& face, const Box& square) {
  const Box cut = face_crop(face.box, face_share("faces"));
  const double most = 0.2 * square.width;
  return std::abs(cut.x - square.x) <= most && std::abs(cut.y - square.y) <= most &&
         std::abs(cut.width - square.width) <= 1.5 * most;
}

}  // namespace

TEST_CASE("every person of a scene is found once, from left to right, in colour and in grey") {
  const auto detector = detector_or_skip();
  if (!detector) return;
  std::vector<Box> squares;
  const Image scene = group_portrait(&squares);
  const std::vector<DetectedFace> faces = detector->detect(scene);
  REQUIRE(faces.size() == squares.size());
  for (std::size_t i = 0; i < faces.size(); ++i) {
    CAPTURE(i);
    CHECK(covers(faces[i], squares[i]));
    CHECK(faces[i].score >= 0);
  }
  const std::vector<DetectedFace> grey = detector->detect(to_grey(scene));
  REQUIRE(grey.size() == faces.size());
  for (std::size_t i = 0; i < faces.size(); ++i) CHECK(grey[i].box == faces[i].box);
}

TEST_CASE("a photograph of 20 megapixels gives the same faces") {
  const auto detector = detector_or_skip();
  if (!detector) return;
  std::vector<Box> squares;
  constexpr int factor = 8;
  const Image scene = group_portrait(&squares);
  const Image large = resize(scene, factor * scene.height, factor * scene.width);
  REQUIRE(static_cast<long>(large.width) * large.height > 19'000'000);
  const std::vector<DetectedFace> faces = detector->detect(large);
  REQUIRE(faces.size() == squares.size());
  for (std::size_t i = 0; i < faces.size(); ++i) {
    const Box& s = squares[i];
    CHECK(covers(faces[i], {factor * s.x, factor * s.y, factor * s.width, factor * s.height}));
  }
}

TEST_CASE("no face where there is none") {
  const auto detector = detector_or_skip();
  if (!detector) return;
  CHECK(detector->detect(ground(480, 640)).empty());
  CHECK(detector->detect(Image(1, 1, 3, 200)).empty());
  CHECK(detector->detect(Image(2000, 3, 1)).empty());
  CHECK(detector->detect(Image(100, 100, 1, 128)).empty());
}

TEST_CASE("smallest: smaller faces are passed over") {
  const auto all = detector_or_skip();
  if (!all) return;
  CHECK(make_face_detector({0.125})->detect(group_portrait()).size() == 3);
  CHECK(make_face_detector({0.5})->detect(group_portrait()).empty());
}

TEST_CASE("detecting from several threads gives what one gives") {
  const auto detector = detector_or_skip();
  if (!detector) return;
  const Image scene = group_portrait();
  const std::size_t alone = detector->detect(scene).size();
  std::vector<std::size_t> counts(4);
#pragma omp parallel for num_threads(4)
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = detector->detect(scene).size();
  for (const std::size_t count : counts) CHECK(count == alone);
}

TEST_CASE("the crop around a detected face") {
  // 166 of 200 pixels, the centre 0.07 * 166 = 11.6 pixels above the box's
  CHECK(face_crop({100, 100, 166, 166}) == Box{83, 71, 200, 200});
  CHECK(face_crop({100, 100, 64, 64}, face_share("faces")) == Box{82, 78, 100, 100});
  CHECK(face_share("ferplus") == 0.83);
  CHECK(face_share("fer2013") == 0.83);
  const Image scene = group_portrait();
  const Image part = crop(scene, Box{-5, 470, 20, 20});
  CHECK(part.width == 20);
  CHECK(part.at(0, 0, 1) == scene.at(470, 0, 1));
  CHECK(part.at(19, 19, 1) == scene.at(479, 14, 1));
}

namespace {

/// The side of the detector's box as a share of the picture's side, and the position of its centre.
struct Framing {
  int pictures = 0, found = 0;
  double share = 0, x = 0, y = 0;
};

/// Measured on `count` pictures spread over the data set. Each gets a border, so that the whole face can be
/// found. The borders cycle through six widths: the detector scales every picture to one size, and its boxes
/// come in steps of 1.2, so the widths spread the faces evenly over a step.
Framing framing_of(const Dataset& dataset, const FaceDetector& detector, std::int64_t count) {
  Framing framing;
  double log_sum = 0, rise = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const Image image = dataset.sample(i * dataset.size() / count).image;
    const int zoom = std::max(1, 192 / image.width), side = zoom * image.width;
    const int border = static_cast<int>(side * (0.7 * std::pow(1.2, static_cast<double>(i % 6) / 6) - 0.5));
    const Box wide{-border, -border, side + 2 * border, side + 2 * border};
    const auto faces = detector.detect(crop(resize(image, side, side), wide));
    ++framing.pictures;
    if (faces.size() != 1) continue;
    const Box& box = faces[0].box;
    const double share = 1.0 * box.width / side;
    if (share < 0.5) continue;  // no face of that picture
    const double x = (box.x + box.width / 2.0 - border) / side;
    const double y = (box.y + box.height / 2.0 - border) / side;
    ++framing.found;
    log_sum += std::log(share);
    framing.x += x;
    framing.y += y;
    rise += (y - 0.5) / share;
  }
  const double n = std::max(1, framing.found);
  framing.share = std::exp(log_sum / n);
  framing.x /= n;
  framing.y /= n;
  MESSAGE(dataset.info().name, ": ", framing.found, " of ", framing.pictures, " found, share ", framing.share,
          ", centre ", framing.x, " ", framing.y, ", below the middle by ", rise / n, " of the box");
  return framing;
}

void check_framing(const Framing& framing, double share) {
  CHECK(framing.found > 0.7 * framing.pictures);
  CHECK(framing.share == doctest::Approx(share).epsilon(0.03));
  CHECK(framing.x == doctest::Approx(0.5).epsilon(0.03));
  CHECK(framing.y - 0.5 == doctest::Approx(0.07 * share).epsilon(0.15));
}

}  // namespace

TEST_CASE("framing: drawn faces") {
  const auto detector = detector_or_skip({0.2});
  if (!detector) return;
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "faces";
  options.face_size = 192;
  check_framing(framing_of(*open_dataset(options), *detector, 140), face_share("faces"));
}

TEST_CASE("framing: FER2013") {
  const auto detector = detector_or_skip({0.2});
  if (!detector) return;
  const char* folder = std::getenv("FER_DATA_DIR");
  if (!folder || !fs::exists(fs::path(folder) / "fer2013.csv")) {
    MESSAGE("skipped: FER_DATA_DIR names no folder with fer2013.csv");
    return;
  }
  DatasetOptions options;
  options.validation_fraction = 0;
  options.name = "fer2013";
  options.folder = folder;
  check_framing(framing_of(*open_dataset(options), *detector, 600), face_share("fer2013"));
}

TEST_CASE("options out of range") {
  if (!detector_or_skip()) return;
  CHECK(message_of<ConfigError>([] { make_face_detector({0}); }) ==
        "the smallest face must be a share in (0, 1] of a picture's longer side, got 0");
  CHECK(message_of<ConfigError>([] { make_face_detector({1.5}); }) ==
        "the smallest face must be a share in (0, 1] of a picture's longer side, got 1.5");
}

TEST_CASE("a build without a detector says how to get one") {
  std::string reason;
  if (!face_detector_name(&reason).empty()) return;
  CHECK(
      message_of<DeviceError>([] { make_face_detector(); }) ==
      "this build has no face detector, because dlib was not found or FER_DLIB was OFF; install libdlib-dev "
      "and configure with -DFER_DLIB=ON, or cut the faces out and pass them with --crop none");
}
