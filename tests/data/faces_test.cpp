// Drawn faces: equal parameters give equal pictures, landmarks lie on the features, and action units move
// what they name.
#include "fer/data/faces.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <thread>

#include "tests/data/helpers.h"

namespace fer::test {
namespace {

/// A frontal, evenly lit face without glasses or beard.
FaceParameters plain_face(std::uint64_t identity) {
  FaceParameters p;
  p.identity = sample_identity(3, identity);
  p.identity.glasses = Glasses::none;
  p.identity.beard = Beard::none;
  p.identity.hair_style = HairStyle::cropped;
  p.identity.asymmetry = 0;
  p.lighting.noise = 0;
  return p;
}

Landmarks with_unit(float ActionUnits::*unit) {
  FaceParameters p = plain_face(0);
  p.units.*unit = 1;
  return draw_face(p, 64).landmarks;
}

float mouth_opening(const Landmarks& l) {
  return l[66].y - l[62].y;
}
float eye_opening(const Landmarks& l) {
  return l[41].y - l[37].y;
}

TEST_CASE("a face is a function of its numbers, in any thread") {
  const Face face = draw_face(sample_face(1, 5, 2), 112);
  CHECK(face.image.height == 112);
  CHECK(face.image.channels == 3);
  for (int size : {64, 112}) {  // another size in between must leave no trace
    draw_face(sample_face(9, 9, 9), size);
    CHECK(draw_face(sample_face(1, 5, 2), 112).image == face.image);
  }
  Face other;
  std::thread([&] { other = draw_face(sample_face(1, 5, 2), 112); }).join();
  CHECK(other.image == face.image);
  CHECK(draw_face(sample_face(2, 5, 2), 112).image.pixels != face.image.pixels);
  CHECK(draw_face(sample_face(1, 6, 2), 112).image.pixels != face.image.pixels);
  CHECK(draw_face(sample_face(1, 5, 3), 112).image.pixels != face.image.pixels);
}

TEST_CASE("a person stays the same from picture to picture") {
  const FaceParameters a = sample_face(1, 7, 0), b = sample_face(1, 7, 5);
  CHECK(a.identity.skin.r == b.identity.skin.r);
  CHECK(a.identity.eye_spacing == b.identity.eye_spacing);
  CHECK(a.identity.hair_style == b.identity.hair_style);
  CHECK(a.pose.yaw != b.pose.yaw);
}

TEST_CASE("seven successive pictures show the seven expressions, at varying arousal") {
  for (std::uint64_t identity : {0, 1, 12}) {
    std::set<Expression> seen;
    for (std::uint64_t index = 0; index < 7; ++index) {
      const FaceParameters p = sample_face(4, identity, index);
      seen.insert(p.expression);
      CHECK((p.expression == Expression::neutral ? p.arousal <= 0.12f : p.arousal >= 0.25f));
      CHECK(p.arousal <= 1);
    }
    CHECK(seen.size() == 7);
  }
  CHECK(expression_names() ==
        std::vector<std::string>{"surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"});
}

TEST_CASE("poses, light and occlusions vary") {
  float most_left = 0, most_right = 0;
  int occluded = 0, grey = 0;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const FaceParameters p = sample_face(1, i, 0);
    most_left = std::min(most_left, p.pose.yaw);
    most_right = std::max(most_right, p.pose.yaw);
    occluded += p.occlusion.kind != OcclusionKind::none;
    grey += p.lighting.saturation == 0;
  }
  CHECK(most_left < -0.4f);
  CHECK(most_right > 0.4f);
  CHECK(occluded > 15);
  CHECK(occluded < 75);
  CHECK(grey > 20);
}

TEST_CASE("landmarks of a plain face are in anatomical order") {
  const Landmarks l = draw_face(plain_face(2), 128).landmarks;
  for (int i = 0; i < 16; ++i) CHECK(l[i].x < l[i + 1].x);   // jaw from left to right
  for (int i = 0; i < 8; ++i) CHECK(l[i].y < l[i + 1].y);    // down to the chin
  for (int i = 8; i < 16; ++i) CHECK(l[i].y > l[i + 1].y);   // and up again
  for (int i = 17; i < 26; ++i) CHECK(l[i].x < l[i + 1].x);  // brows
  for (int i = 27; i < 30; ++i) CHECK(l[i].y < l[i + 1].y);  // bridge
  for (int i = 31; i < 35; ++i) CHECK(l[i].x < l[i + 1].x);  // nostrils
  for (int i : {37, 38}) CHECK(l[i].y < l[i == 37 ? 41 : 40].y);
  CHECK(l[36].x < l[39].x);
  CHECK(l[39].x < l[42].x);
  CHECK(l[42].x < l[45].x);
  CHECK(l[48].x < l[60].x);
  CHECK(l[64].x < l[54].x);
  CHECK(l[51].y < l[62].y);
  CHECK(l[62].y <= l[66].y);
  CHECK(l[66].y < l[57].y);
  CHECK(l[57].y < l[8].y);
  for (int i = 0; i < 68; ++i) {
    CHECK(l[i].x > 0);
    CHECK(l[i].x < 1);
    CHECK(l[i].y > 0);
    CHECK(l[i].y < 1);
  }
}

TEST_CASE("landmarks mirror with the picture") {
  const auto mirror = mirrored_landmarks();
  for (std::uint8_t i = 0; i < 68; ++i) CHECK(mirror[mirror[i]] == i);
  // A symmetric head turned left is the mirror image of one turned right.
  FaceParameters p = plain_face(4);
  p.identity.hair_parting = 0;
  p.pose.yaw = 0.35f;
  p.pose.roll = 0.1f;
  const Landmarks right = draw_face(p, 112).landmarks;
  p.pose.yaw = -0.35f;
  p.pose.roll = -0.1f;
  const Landmarks left = flip_landmarks(draw_face(p, 112).landmarks);
  for (int i = 0; i < 68; ++i) {
    CAPTURE(i);
    CHECK(left[i].x == doctest::Approx(right[i].x).epsilon(1e-4));
    CHECK(left[i].y == doctest::Approx(right[i].y).epsilon(1e-4));
  }
}

TEST_CASE("landmarks are where the features are painted, at any pose") {
  for (float yaw : {-0.4f, 0.0f, 0.4f}) {
    FaceParameters p = plain_face(8);
    p.identity.skin = {0.7f, 0.45f, 0.35f};
    p.identity.iris = {0.02f, 0.01f, 0.01f};
    p.identity.brow_darkness = 1;
    p.identity.hair = {0.01f, 0.01f, 0.01f};
    p.pose.yaw = yaw;
    p.pose.roll = 0.1f;
    const Face face = draw_face(p, 224);
    const auto brightness = [&](float x, float y) {
      const int cx = static_cast<int>(x * 224), cy = static_cast<int>(y * 224);
      int sum = 0;
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx)
          sum += face.image.at(cy + dy, cx + dx, 0) + face.image.at(cy + dy, cx + dx, 1);
      }
      return sum / 18;
    };
    const auto& l = face.landmarks;
    const int cheek = brightness(0.5f * (l[30].x + l[3].x), 0.5f * (l[30].y + l[3].y));
    for (int eye : {36, 42}) {  // the pupil is dark
      float x = 0, y = 0;
      for (int i = 0; i < 6; ++i) x += l[eye + i].x / 6, y += l[eye + i].y / 6;
      CHECK(brightness(x, y) < cheek - 40);
    }
    for (int brow : {19, 24}) CHECK(brightness(l[brow].x, l[brow].y) < cheek - 40);
    // outside of the jaw there is background or neck, inside there is cheek: a change across each side's
    // contour
    for (int i : {3, 13}) {
      const float out = l[i].x + (l[i].x - 0.5f > 0 ? 0.06f : -0.06f),
                  in = l[i].x - (l[i].x - 0.5f > 0 ? 0.05f : -0.05f);
      CHECK(std::abs(brightness(out, l[i].y) - brightness(in, l[i].y)) > 12);
    }
  }
}

TEST_CASE("action units move what they name") {
  const Landmarks rest = draw_face(plain_face(0), 64).landmarks;
  CHECK(with_unit(&ActionUnits::au1)[21].y < rest[21].y - 0.03f);  // inner brow up
  CHECK(with_unit(&ActionUnits::au2)[18].y < rest[18].y - 0.03f);  // outer brow up
  CHECK(with_unit(&ActionUnits::au4)[21].y > rest[21].y + 0.02f);  // brow down
  CHECK(with_unit(&ActionUnits::au4)[21].x > rest[21].x + 0.01f);  // and inwards
  CHECK(eye_opening(with_unit(&ActionUnits::au5)) > eye_opening(rest) * 1.3f);
  CHECK(eye_opening(with_unit(&ActionUnits::au6)) < eye_opening(rest) * 0.9f);
  CHECK(eye_opening(with_unit(&ActionUnits::au7)) < eye_opening(rest) * 0.85f);
  CHECK(eye_opening(with_unit(&ActionUnits::au43)) < eye_opening(rest) * 0.5f);
  CHECK(with_unit(&ActionUnits::au9)[31].y < rest[31].y - 0.005f);  // nostril wings up
  CHECK(with_unit(&ActionUnits::au10)[50].y < rest[50].y - 0.01f);  // upper lip up
  CHECK(with_unit(&ActionUnits::au12)[54].y < rest[54].y - 0.02f);  // corners up and out
  CHECK(with_unit(&ActionUnits::au12)[54].x > rest[54].x + 0.02f);
  CHECK(with_unit(&ActionUnits::au15)[54].y > rest[54].y + 0.02f);   // corners down
  CHECK(with_unit(&ActionUnits::au17)[57].y < rest[57].y - 0.005f);  // lower lip up
  CHECK(with_unit(&ActionUnits::au20)[54].x > rest[54].x + 0.015f);  // stretched
  const Landmarks tight = with_unit(&ActionUnits::au23);
  CHECK(tight[57].y - tight[51].y < (rest[57].y - rest[51].y) * 0.7f);
  CHECK(mouth_opening(with_unit(&ActionUnits::au25)) > mouth_opening(rest) + 0.01f);
  CHECK(mouth_opening(with_unit(&ActionUnits::au26)) > mouth_opening(rest) + 0.05f);
  CHECK(with_unit(&ActionUnits::au26)[8].y > rest[8].y + 0.03f);  // the jaw goes with it
}

TEST_CASE("arousal scales an expression") {
  CHECK(expression_units(Expression::neutral, 1).au12 == 0);
  CHECK(expression_units(Expression::happiness, 1).au12 == 1);
  CHECK(expression_units(Expression::happiness, 0.2f).au12 <
        expression_units(Expression::happiness, 0.8f).au12);
  CHECK(expression_units(Expression::surprise, 0).au26 > 0);  // just visible
}

TEST_CASE("expressions of unknown people can be told by their landmarks' nearest class mean") {
  // A weak classifier on aligned points: a lower bound on what a network can learn from these pictures.
  const auto features = [](const FaceParameters& original) {
    FaceParameters p = original;
    p.pose = FacePose{};
    const Landmarks l = draw_face(p, 16).landmarks;
    std::vector<float> f;
    for (int i = 17; i < 68; ++i) {
      f.push_back(l[i].x);
      f.push_back(l[i].y);
    }
    return f;
  };
  std::vector<std::vector<float>> mean(7, std::vector<float>(102, 0.0f));
  const int train = 60, test = 30;
  for (int identity = 0; identity < train; ++identity) {
    for (int index = 0; index < 7; ++index) {
      const FaceParameters p =
          sample_face(1, static_cast<std::uint64_t>(identity), static_cast<std::uint64_t>(index));
      const auto f = features(p);
      for (std::size_t k = 0; k < f.size(); ++k)
        mean[static_cast<std::size_t>(p.expression)][k] += f[k] / train;
    }
  }
  int right = 0;
  for (int identity = 1000; identity < 1000 + test; ++identity) {
    for (int index = 0; index < 7; ++index) {
      const FaceParameters p =
          sample_face(1, static_cast<std::uint64_t>(identity), static_cast<std::uint64_t>(index));
      const auto f = features(p);
      std::size_t best = 0;
      float least = 1e9f;
      for (std::size_t c = 0; c < 7; ++c) {
        float d = 0;
        for (std::size_t k = 0; k < f.size(); ++k) d += (f[k] - mean[c][k]) * (f[k] - mean[c][k]);
        if (d < least) {
          least = d;
          best = c;
        }
      }
      right += best == static_cast<std::size_t>(p.expression);
    }
  }
  MESSAGE("nearest class mean of aligned landmarks: ", right, " of ", 7 * test, " right");
  CHECK(right > 0.6 * 7 * test);
}

TEST_CASE("every kind of hair, beard, glasses and occlusion can be drawn, from 16 pixels on") {
  for (int k = 0; k < 14; ++k) {
    FaceParameters p = sample_face(1, 3, static_cast<std::uint64_t>(k));
    p.identity.hair_style = static_cast<HairStyle>(k % 7);
    p.identity.beard = static_cast<Beard>(k % 5);
    p.identity.glasses = static_cast<Glasses>(k % 3);
    p.occlusion.kind = static_cast<OcclusionKind>(k % 6);
    p.pose.yaw = 1.2f * std::sin(static_cast<float>(k));
    p.pose.pitch = 0.6f * std::cos(2.0f * static_cast<float>(k));
    p.pose.shift_x = k == 5 ? 3.0f : 0.0f;  // out of the picture
    for (int size : {16, 33, 160}) CHECK(draw_face(p, size).image.width == size);
  }
  CHECK(message_of<ConfigError>([] { draw_face(FaceParameters{}, 15); }) ==
        "a face is drawn 16 to 2048 pixels wide, got 15");
  CHECK(message_of<ConfigError>([] { sample_face(1, 0, 1 << 24); }) ==
        "faces are numbered by an identity below 2^40 and an index below 2^24, got 0 and 16777216");
}

TEST_CASE("speed of drawing (for information)") {
  const auto begin = std::chrono::steady_clock::now();
  const int count = 70;
  for (int i = 0; i < count; ++i) {
    draw_face(sample_face(1, static_cast<std::uint64_t>(i / 7), static_cast<std::uint64_t>(i % 7)), 112);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  MESSAGE(static_cast<int>(count / seconds), " faces of 112 x 112 a second on one thread");
}

}  // namespace
}  // namespace fer::test
