// fer predict as a user meets it: photographs, odd pictures, folders, videos, and every form of the answer.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/program.h"
#include "data/scene.h"
#include "fer/data/video.h"
#include "fer/training/face_reader.h"
#include "tests/paths.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;
using nlohmann::json;
namespace fs = app_test::fs;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Weights of a network that was not trained, made once for all tests of this file.
const std::string& weights() {
  static const Folder folder("predict_weights");
  static const std::string file = [] {
    fer::RunConfig config;
    config.model = fer::preset("tiny", 7);
    config.model.landmarks.head = true;
    config.data.dataset = "faces";
    fer::FERNet model(config.model);
    model.initialise(1);
    const std::string path = folder / "tiny.safetensors";
    fer::save_weights(path, model,
                      fer::to_metadata({config, fer::expression_names(), fer::input_spec(config), ""}));
    return path;
  }();
  return file;
}

Result predict(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"predict", "--weights", weights()});
  return run(arguments);
}

bool have_detector() {
  std::string reason;
  if (!fer::face_detector_name(&reason).empty()) return true;
  MESSAGE("skipped: ", reason);
  return false;
}

std::string fixture(const std::string& name) {
  return (fer::test::source_folder() / "tests/data/files" / name).string();
}

/// A JPEG with an EXIF orientation put behind its first marker.
void write_jpeg(const std::string& path, const fer::Image& image, std::uint8_t orientation) {
  std::vector<std::uint8_t> bytes = fer::encode_jpeg(image);
  const std::uint8_t exif[] = {0xff, 0xe1, 0, 34, 'E',         'x', 'i', 'f', 0,    0, 'I', 'I',
                               42,   0,    8, 0,  0,           0,   1,   0,   0x12, 1, 3,   0,
                               1,    0,    0, 0,  orientation, 0,   0,   0,   0,    0, 0,   0};
  bytes.insert(bytes.begin() + 2, std::begin(exif), std::end(exif));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

fer::Image quarter_turned(const fer::Image& image) {  // anticlockwise
  fer::Image out(image.width, image.height, 3);
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      for (int c = 0; c < 3; ++c) out.at(y, x, c) = image.at(x, image.width - 1 - y, c);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a photograph of several people: each is marked, in text, JSON, CSV and an overlay") {
  if (!have_detector()) return;
  const Folder folder("predict_group");
  const std::string photo = folder / "group.png";
  fer::write_image(photo, fer::test::group_portrait());

  const Result text = predict({photo});
  REQUIRE_MESSAGE(text.code == 0, text.err);
  CHECK(std::count(text.out.begin(), text.out.end(), '\n') == 3);
  CHECK(contains(text.out, photo + ", face at "));

  const Result as_json = predict({photo, "--json", "--overlay", folder / "marked.png"});
  REQUIRE_MESSAGE(as_json.code == 0, as_json.err);
  const json picture = json::parse(as_json.out).at(0);
  CHECK(picture["file"] == photo);
  CHECK(picture["width"] == 640);
  CHECK(picture["height"] == 480);
  REQUIRE(picture["faces"].size() == 3);
  for (const json& face : picture["faces"]) {
    double sum = 0;
    for (const auto& p : face["probabilities"]) sum += p.get<double>();
    CHECK(sum == doctest::Approx(1).epsilon(1e-5));
    CHECK(face["probabilities"][face["expression"].get<std::string>()] == face["probability"]);
    CHECK(face["landmarks"].size() == 68);
    CHECK(face["box"]["width"] > 80);
  }
  const fer::Image marked = fer::read_image(folder / "marked.png");
  CHECK(marked.width == 640);
  CHECK(marked != fer::test::group_portrait());

  const Result csv = predict({photo, "--csv"});
  REQUIRE_MESSAGE(csv.code == 0, csv.err);
  CHECK(
      csv.out.starts_with("file,frame,seconds,face,x,y,width,height,expression,probability,surprise,fear,"
                          "disgust,happiness,sadness,anger,neutral\n"));
  CHECK(std::count(csv.out.begin(), csv.out.end(), '\n') == 4);
  CHECK(contains(csv.out, "\n" + photo + ",,,2,"));
}

TEST_CASE("EXIF: a photograph taken sideways gives the faces of the upright one") {
  if (!have_detector()) return;
  const Folder folder("predict_exif");
  write_jpeg(folder / "upright.jpg", fer::test::group_portrait(), 1);
  write_jpeg(folder / "sideways.jpg", quarter_turned(fer::test::group_portrait()), 6);
  const Result result = predict({folder / "upright.jpg", folder / "sideways.jpg", "--json"});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  const json pictures = json::parse(result.out);
  const auto centre = [](const json& face) {
    return face["box"]["x"].get<double>() + face["box"]["width"].get<double>() / 2;
  };
  CHECK(pictures[1]["width"] == 640);
  REQUIRE(pictures[1]["faces"].size() == pictures[0]["faces"].size());
  for (std::size_t i = 0; i < 3; ++i) {
    // JPEG's blocks fall otherwise, so that a box may be one step of the detector larger
    CHECK(std::abs(centre(pictures[1]["faces"][i]) - centre(pictures[0]["faces"][i])) < 10);
  }
}

TEST_CASE("no face: it is said, with exit code 3") {
  if (!have_detector()) return;
  const Folder folder("predict_none");
  const std::string photo = folder / "landscape.png";
  fer::write_image(photo, fer::test::ground(300, 400));
  const Result none = predict({photo});
  CHECK(none.code == 3);
  CHECK(none.out.empty());
  CHECK(none.err == photo + ": no face found\n");
  const Result as_json = predict({photo, fixture("pixel.png"), "--json"});
  CHECK(as_json.code == 3);
  CHECK(json::parse(as_json.out)[0]["faces"].empty());
  CHECK(json::parse(as_json.out)[1]["faces"].empty());
  CHECK(predict({photo, "--csv"}).code == 3);
  // a face beside it makes the whole a success
  fer::write_image(folder / "group.png", fer::test::group_portrait());
  CHECK(predict({photo, folder / "group.png"}).code == 0);
}

TEST_CASE("pictures of every kind: CMYK, 16 bits, alpha, grey, palette") {
  for (const char* name : {"cmyk.jpg", "grey16.png", "alpha.png", "grey_alpha.png", "grey.jpg", "palette.png",
                           "progressive.jpg"}) {
    CAPTURE(name);
    const fer::Image image = fer::read_image(fixture(name));
    const Result result = predict({fixture(name), "--crop", "none", "--json"});
    const bool large_enough = std::min(image.width, image.height) >= 16;
    CHECK(result.code == (large_enough ? 0 : 3));
    CHECK(json::parse(result.out)[0]["faces"].size() == (large_enough ? 1 : 0));
  }
}

TEST_CASE("a broken picture costs the others nothing: exit code 1") {
  const Folder folder("predict_broken");
  std::ofstream(folder / "broken.jpg") << "\xff\xd8\xff no picture";
  fer::write_image(folder / "face.png", fer::draw_face(fer::sample_face(1, 1, 1), 112).image);
  const Result result = predict({folder / "broken.jpg", folder / "face.png", "--json"});
  CHECK(result.code == 1);
  CHECK(result.err == "fer: '" + (folder / "broken.jpg") + "' is a truncated JPEG: a segment is cut\n");
  const json pictures = json::parse(result.out);
  CHECK(contains(pictures[0]["error"], "truncated JPEG"));
  CHECK(pictures[1]["faces"].size() == 1);
  // So do files and folders that are not there, or empty; each is named.
  fs::create_directories(folder.path / "empty");
  const Result missing = predict({folder / "none.png", folder / "face.png", folder / "none.mp4",
                                  folder / "empty", folder / "nowhere", "--json"});
  CHECK(missing.code == 1);
  CHECK(missing.err ==
        "fer: '" + (folder / "none.png") + "' does not exist\nfer: '" + (folder / "none.mp4") +
            "' does not exist\nfer: the folder '" + (folder / "empty") +
            "' holds no PNG or JPEG picture and no video; --recursive looks into its folders\n" + "fer: '" +
            (folder / "nowhere") + "' does not exist\n");
  const Result device = predict({"/dev/zero", folder / "face.png"});
  CHECK(device.code == 1);
  CHECK(device.err == "fer: cannot read '/dev/zero': it is a device, not a file\n");
  CHECK(device.out.starts_with(folder / "face.png"));
  const json answers = json::parse(missing.out);
  REQUIRE(answers.size() == 5);
  CHECK(answers[0]["error"] == "'" + (folder / "none.png") + "' does not exist");
  CHECK(answers[1]["faces"].size() == 1);
  const Result gif = predict({fixture("really_a_gif.png"), "--overlay", folder / "none.png"});
  CHECK(gif.code == 1);
  CHECK(contains(gif.err, "is neither PNG nor JPEG: it is a GIF"));
  CHECK_FALSE(fs::exists(folder / "none.png"));
}

TEST_CASE("folders: in order, without their folders unless --recursive; overlays keep their places") {
  const Folder folder("predict_folder");
  const fer::Image face = fer::draw_face(fer::sample_face(1, 1, 1), 64).image;
  fs::create_directories(folder.path / "in/deeper");
  fer::write_image(folder / "in/b.png", face);
  fer::write_image(folder / "in/a.jpg", face);
  fer::write_image(folder / "in/deeper/c.png", face);
  std::ofstream(folder / "in/notes.txt") << "left aside";
  const json flat = json::parse(predict({folder / "in", "--json"}).out);
  REQUIRE(flat.size() == 2);
  CHECK(flat[0]["file"] == folder / "in/a.jpg");
  CHECK(flat[1]["file"] == folder / "in/b.png");
  const Result deep = predict({folder / "in", "--recursive", "--json", "--overlay", folder / "out"});
  REQUIRE_MESSAGE(deep.code == 0, deep.err);
  CHECK(json::parse(deep.out).size() == 3);
  for (const char* name : {"out/a.jpg", "out/b.png", "out/deeper/c.png"})
    CHECK(fer::read_image(folder / name).width == 320);
  fs::create_directories(folder.path / "empty");
  const Result empty = predict({folder / "empty"});
  CHECK(empty.code == 1);
  CHECK(empty.err == "fer: the folder '" + (folder / "empty") +
                         "' holds no PNG or JPEG picture and no video; --recursive looks into its folders\n");
}

TEST_CASE("wrong usage ends with 2 and writes nothing") {
  const Folder folder("predict_usage");
  const fer::Image face = fer::draw_face(fer::sample_face(1, 1, 1), 64).image;
  const std::string photo = folder / "a.png";
  fer::write_image(photo, face);
  const auto error = [&](std::vector<std::string> arguments) {
    const Result result = predict(std::move(arguments));
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    return result.err;
  };
  CHECK(error({}) == "fer: predict: name pictures, videos or folders of them, or --camera\n");
  CHECK(error({photo, "--camera", "0"}) ==
        "fer: predict: name pictures, videos or folders of them, or --camera\n");
  CHECK(error({photo, "--crop", "some"}) == "fer: unknown crop mode 'some'; known are auto, detect, none\n");
  CHECK(error({photo, "--overlay", photo}) == "fer: the overlay of '" + photo + "' would overwrite it\n");
  CHECK(error({photo, "--overlay", folder.path.string()}) ==
        "fer: the overlay of '" + photo + "' would overwrite it\n");
  CHECK(error({photo, "--overlay", folder / "a.mp4"}) ==
        "fer: the overlay of '" + photo + "' cannot be '" + (folder / "a.mp4") +
            "': a picture's is a picture, a video's a video\n");
  fs::create_directories(folder.path / "other");
  fer::write_image(folder / "other/a.png", face);
  CHECK(error({photo, folder / "other/a.png", "--overlay", folder / "out"}) ==
        "fer: '" + photo + "' and '" + (folder / "other/a.png") + "' would have the same overlay '" +
            (folder / "out/a.png") + "'\n");
  CHECK(error({photo, folder / "other/a.png", "--overlay", folder / "x.png"}) ==
        "fer: --overlay '" + (folder / "x.png") + "' names one file for 2 inputs; name a folder\n");
  CHECK_FALSE(fs::exists(folder / "out"));
  CHECK(contains(error({photo, "--json", "--csv"}), "--json excludes --csv"));
  CHECK(contains(error({photo, "--smallest-face", "2"}), "--smallest-face"));
  CHECK(predict({"/nowhere.png"}).err == "fer: '/nowhere.png' does not exist\n");
}

TEST_CASE("weights: from FER_WEIGHTS where none are named") {
  const Folder folder("predict_weights_lookup");
  fer::write_image(folder / "a.png", fer::draw_face(fer::sample_face(1, 1, 1), 64).image);
  ::setenv("FER_WEIGHTS", weights().c_str(), 1);
  const Result found = run({"predict", folder / "a.png"});
  ::setenv("FER_WEIGHTS", "/nowhere/w.safetensors", 1);
  const Result missing = run({"predict", folder / "a.png"});
  ::unsetenv("FER_WEIGHTS");
  CHECK_MESSAGE(found.code == 0, found.err);
  CHECK(found.out == predict({folder / "a.png"}).out);
  CHECK(missing.code == 1);
  CHECK(missing.err == "fer: FER_WEIGHTS names '/nowhere/w.safetensors', which does not exist\n");
}

TEST_CASE("weights: an installed program finds those of its own prefix") {
  const Folder folder("predict_prefix");
  fs::create_directories(folder.path / "bin");
  fs::create_directories(folder.path / "share/fer");
  fs::copy_file(FER_PROGRAM, folder / "bin/fer");
  fs::copy_file(weights(), folder / "share/fer/small-ferplus.safetensors");
  fer::write_image(folder / "a.png", fer::draw_face(fer::sample_face(1, 1, 1), 64).image);
  const Result found = run({"predict", folder / "a.png"}, 0, {.program = folder / "bin/fer"});
  CHECK_MESSAGE(found.code == 0, found.err);
  CHECK(found.out == predict({folder / "a.png"}).out);
}

TEST_CASE("a video: a reading a frame, and an overlay that plays") {
  std::string reason;
  if (fer::video_library_name(&reason).empty()) {
    MESSAGE("skipped: ", reason);
    return;
  }
  if (!have_detector()) return;
  const Folder folder("predict_video");
  {
    const auto video = fer::create_video(folder / "clip.mp4", 10);
    const fer::Image scene = fer::test::group_portrait(), empty = fer::test::ground(480, 640);
    for (int i = 0; i < 6; ++i) video->write(i < 4 ? scene : empty, i / 10.0);
    video->finish();
  }
  const Result result = predict({folder / "clip.mp4", "--json", "--overlay", folder / "marked.mp4"});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  CHECK(contains(result.err, "clip.mp4: 6 frames, 4 with a face, in "));
  const json frames = json::parse(result.out);
  REQUIRE(frames.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(frames[i]["frame"] == i);
    CHECK(frames[i]["seconds"] == doctest::Approx(0.1 * static_cast<double>(i)));
    CHECK(frames[i]["faces"].size() == (i < 4 ? 3 : 0));
  }
  const auto marked = fer::open_video(folder / "marked.mp4");
  int count = 0;
  for (fer::VideoFrame frame; marked->next(frame); ++count) CHECK(frame.image.width == 640);
  CHECK(count == 6);

  const Result some = predict({folder / "clip.mp4", "--csv", "--every", "2", "--frames", "2"});
  REQUIRE_MESSAGE(some.code == 0, some.err);
  CHECK(contains(some.err, "clip.mp4: 2 frames, 2 with a face"));
  CHECK(contains(some.out, "clip.mp4,2,0.2,0,"));
  CHECK_FALSE(contains(some.out, "clip.mp4,1,"));

  std::ofstream(folder / "text.mp4") << "no video";
  const Result text = predict({folder / "text.mp4", "--overlay", folder / "none.mp4"});
  CHECK(text.code == 1);
  CHECK(contains(text.err, "text.mp4' is no video that libav can read: "));
  CHECK_FALSE(fs::exists(folder / "none.mp4"));
  const Result camera = run({"predict", "--weights", weights(), "--camera", "97"});
  CHECK(camera.code == 1);
  CHECK(camera.err == "fer: cannot open 'camera 97': No such file or directory\n");
}

TEST_CASE("version says whether faces are found and videos read") {
  const Result version = run({"--version"});
  CHECK(contains(version.out, "  faces in photographs: "));
  CHECK(contains(version.out, "  videos and cameras: "));
}
