// Reading faces in pictures: the crop of a face, and the positions of its landmarks.
#include "fer/inference/face_reader.h"

#include <stdlib.h>

#include "data/helpers.h"
#include "data/scene.h"
#include "fer/models/fernet.h"

using namespace fer;
using namespace fer::test;

namespace {

/// An untrained network with a landmark head: only the positions matter here, not the predictions.
Classifier classifier(const std::string& dataset = "faces") {
  Classifier c;
  c.config.model = preset("tiny", 7);
  c.config.model.fernet().landmarks.head = true;
  c.config.data.name = dataset;
  c.expects = input_spec(c.config);
  c.class_names = expression_names();
  c.model = std::make_unique<FERNet>(c.config.model.fernet());
  c.model->initialise(3);
  c.model->freeze_landmarks();
  c.model->eval();
  return c;
}

bool have_detector() {
  std::string reason;
  if (!face_detector_name(&reason).empty()) return true;
  MESSAGE("skipped: ", reason);
  return false;
}

/// Sets an environment variable for a scope.
class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Environment() { ::unsetenv(name_); }

 private:
  const char* name_;
};

}  // namespace

TEST_CASE("crop none: the picture is the face") {
  FaceReader reader(classifier(), CropMode::none);
  const Image scene = group_portrait();
  const std::vector<FaceReading> faces = reader.read(scene);
  REQUIRE(faces.size() == 1);
  CHECK(faces[0].box == Box{0, 0, 640, 480});
  const Classifier same = classifier();
  std::vector<Landmarks> landmarks;
  const auto expected = same.predict({scene}, &landmarks);
  CHECK(faces[0].prediction.probabilities == expected[0].probabilities);
  REQUIRE(faces[0].landmarks);
  for (std::size_t i = 0; i < 68; ++i)
    CHECK((*faces[0].landmarks)[i].x == doctest::Approx(landmarks[0][i].x));
  CHECK(reader.read(Image(15, 40, 3)).empty());
}

TEST_CASE("crop auto: small squares are faces, other pictures are searched") {
  if (!have_detector()) return;
  FaceReader reader(classifier());
  CHECK(reader.read(Image(48, 48, 1, 90)).size() == 1);
  CHECK(reader.read(Image(256, 256, 3, 90)).size() == 1);
  CHECK(reader.read(Image(257, 257, 3, 90)).empty());
  CHECK(reader.read(Image(48, 49, 1, 90)).empty());
  CHECK(reader.read(Image(1, 1, 3)).empty());
  CHECK(reader.read(group_portrait()).size() == 3);
}

TEST_CASE("a face of a scene is read from its crop, and its points lie in it") {
  if (!have_detector()) return;
  FaceReader reader(classifier(), CropMode::detect);
  const Image scene = group_portrait();
  const std::vector<FaceReading> faces = reader.read(scene);
  REQUIRE(faces.size() == 3);
  const auto detected = make_face_detector()->detect(scene);
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    const Box part = face_crop(detected[i].box, face_share("faces"));
    std::vector<Landmarks> landmarks;
    const auto expected = classifier().predict({crop(scene, part)}, &landmarks);
    for (std::size_t c = 0; c < 7; ++c)
      CHECK(faces[i].prediction.probabilities[c] ==
            doctest::Approx(expected[0].probabilities[c]).epsilon(1e-4));
    const Point2 p = faces[i].landmarks->at(30), q = landmarks[0].at(30);
    CHECK(p.x * 640 == doctest::Approx(part.x + q.x * part.width).epsilon(1e-3));
    CHECK(p.y * 480 == doctest::Approx(part.y + q.y * part.height).epsilon(1e-3));
  }
  FaceReader tight(classifier("ferplus"), CropMode::detect);
  CHECK(tight.read(scene)[0].prediction.probabilities != faces[0].prediction.probabilities);

  // The face share follows from the network's input specification, not from the name of its data set.
  Classifier stated = classifier("ferplus");
  stated.expects = classifier().expects;
  FaceReader same(std::move(stated), CropMode::detect);
  CHECK(same.read(scene)[0].prediction.probabilities == faces[0].prediction.probabilities);
}

TEST_CASE("several pictures at once give what each gives alone") {
  if (!have_detector()) return;
  FaceReader reader(classifier());
  const std::vector<Image> images{group_portrait(), Image(1, 1, 3), ground(300, 400), Image(64, 64, 1, 77)};
  const auto together = reader.read(images);
  REQUIRE(together.size() == 4);
  CHECK(together[0].size() == 3);
  CHECK(together[1].empty());
  CHECK(together[2].empty());
  REQUIRE(together[3].size() == 1);
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::vector<FaceReading> alone = reader.read(images[i]);
    REQUIRE(alone.size() == together[i].size());
    for (std::size_t k = 0; k < alone.size(); ++k) {
      CHECK(alone[k].box == together[i][k].box);
      for (std::size_t c = 0; c < 7; ++c) {
        CHECK(alone[k].prediction.probabilities[c] ==
              doctest::Approx(together[i][k].prediction.probabilities[c]).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("a crowd is read in parts, and a network without a landmark head gives no points") {
  Classifier c = classifier();
  const std::vector<Image> many(40, Image(64, 64, 3, 99));
  std::vector<Landmarks> landmarks;
  const auto predictions = c.predict(many, &landmarks);
  REQUIRE(predictions.size() == 40);
  CHECK(landmarks.size() == 40);
  CHECK(predictions[39].probabilities[2] == doctest::Approx(predictions[0].probabilities[2]).epsilon(1e-4));
  CHECK(c.predict(std::vector<Image>{}).empty());
  c.config.model.fernet().landmarks.head = false;
  c.model = std::make_unique<FERNet>(c.config.model.fernet());
  c.model->initialise(3);
  c.model->eval();
  FaceReader reader(std::move(c), CropMode::none);
  CHECK_FALSE(reader.read(many[0])[0].landmarks.has_value());
}

TEST_CASE("crop modes by name") {
  CHECK(parse_crop_mode("auto") == CropMode::automatic);
  CHECK(parse_crop_mode("detect") == CropMode::detect);
  CHECK(parse_crop_mode("none") == CropMode::none);
  CHECK(message_of<ConfigError>([] { parse_crop_mode("some"); }) ==
        "unknown crop mode 'some'; known are auto, detect, none");
}

TEST_CASE("default weights: FER_WEIGHTS comes first, and must exist") {
  const TempFolder folder;
  write_text(folder / "mine.safetensors", "x");
  {
    const Environment set("FER_WEIGHTS", (folder / "mine.safetensors").string());
    CHECK(default_weights() == folder / "mine.safetensors");
  }
  const Environment set("FER_WEIGHTS", "/nowhere/w.safetensors");
  CHECK(message_of<IoError>([] { default_weights(); }) ==
        "FER_WEIGHTS names '/nowhere/w.safetensors', which does not exist");
}
