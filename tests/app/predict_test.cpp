// fer predict as a user runs it: photographs, unusual pictures, folders, videos, and all output formats.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/program.h"
#include "data/scene.h"
#include "fer/data/video.h"
#include "fer/inference/face_reader.h"
#include "fer/models/fernet.h"
#include "fer/training/checkpoint.h"
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

/// Weights of an untrained network, made once for all tests of this file.
const std::string& weights() {
  static const Folder folder("predict_weights");
  static const std::string file = [] {
    fer::RunConfig config;
    config.model = fer::preset("tiny", 7);
    config.model.fernet().landmarks.head = true;
    config.data.name = "faces";
    fer::FERNet model(config.model.fernet());
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
  write_jpeg(folder / "sideways.jpg", fer::turn_clockwise(fer::test::group_portrait(), 3), 6);
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

TEST_CASE("a turned picture without a tag: --turns finds its faces, and says where they are in it") {
  if (!have_detector()) return;
  const Folder folder("predict_turns");
  const fer::Image upright = fer::test::group_portrait();
  fer::write_image(folder / "upright.png", upright);
  const json expected = json::parse(predict({folder / "upright.png", "--json"}).out).at(0).at("faces");
  REQUIRE(expected.size() == 3);
  for (int quarters = 0; quarters < 4; ++quarters) {
    CAPTURE(quarters);
    const std::string photo = folder / "turned.png";
    fer::write_image(photo, fer::turn_clockwise(upright, quarters));
    const Result result = predict({photo, "--turns", "--json"});
    REQUIRE_MESSAGE(result.code == 0, result.err);
    const json picture = json::parse(result.out).at(0);
    CHECK(picture["width"] == (quarters % 2 == 0 ? 640 : 480));
    REQUIRE(picture["faces"].size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      const json &face = picture["faces"][i], &box = face["box"], &old = expected[i]["box"];
      CHECK(face["turn"] == (4 - quarters) % 4 * 90);
      CHECK(face["probability"] == expected[i]["probability"]);
      // where a point of the upright picture lies in the turned one
      const auto turned = [&](double x, double y) {
        if (quarters == 1) return std::pair(480 - y, x);
        if (quarters == 2) return std::pair(640 - x, 480 - y);
        return quarters == 3 ? std::pair(y, 640 - x) : std::pair(x, y);
      };
      const auto number = [](const json& j, const char* key) { return j[key].get<double>(); };
      const auto [x, y] =
          turned(number(old, "x") + number(old, "width") / 2, number(old, "y") + number(old, "height") / 2);
      CHECK(number(box, "x") + number(box, "width") / 2 == doctest::Approx(x));
      CHECK(number(box, "y") + number(box, "height") / 2 == doctest::Approx(y));
      const json &point = face["landmarks"][30], &was = expected[i]["landmarks"][30];
      const auto [px, py] = turned(was[0].get<double>(), was[1].get<double>());
      CHECK(std::abs(point[0].get<double>() - px) < 0.2);
      CHECK(std::abs(point[1].get<double>() - py) < 0.2);
    }
  }
  fer::write_image(folder / "lying.png", fer::turn_clockwise(upright, 1));
  CHECK(predict({folder / "lying.png"}).code == 3);  // as it is, nobody is found
  const Result text = predict({folder / "lying.png", "--turns"});
  CHECK(contains(text.out, "), turned by 270 degrees: "));
  const Result csv = predict({folder / "lying.png", "--turns", "--csv"});
  CHECK(
      csv.out.starts_with("file,frame,seconds,face,x,y,width,height,turn,expression,probability,surprise,"));
  CHECK(contains(csv.out, ",270,"));
  const Result none = predict({folder / "lying.png", "--turns", "--crop", "none"});
  CHECK(none.code == 2);
  CHECK(none.err == "fer: predict: --turns looks for faces, which --crop none does not\n");
}

TEST_CASE("other formats: read in folders; their overlays are PNG; a second picture in a file is mentioned") {
  const Folder folder("predict_formats");
  fs::create_directories(folder.path / "in");
  fs::copy_file(fixture("animation.gif"), folder / "in/a.gif");
  fs::copy_file(fixture("rgb.bmp"), folder / "in/b.bmp");
  fs::copy_file(fixture("plain.jpg"), folder / "in/c");
  const Result result = predict({folder / "in", "--crop", "none", "--json", "--overlay", folder / "out"});
  REQUIRE_MESSAGE(result.code == 0, result.err);
  CHECK(result.err == (folder / "in/a.gif") + ": holds several pictures; the first was read\n");
  CHECK(json::parse(result.out).size() == 3);
  for (const char* name : {"out/a.png", "out/b.png", "out/c.png"}) CHECK(fs::exists(folder / name));
  const Result gif = predict({folder / "in/b.bmp", "--overlay", folder / "x.gif"});
  CHECK(gif.code == 2);
  CHECK(gif.err ==
        "fer: cannot write '" + (folder / "x.gif") + "': pictures are written as .png, .jpg or .jpeg\n");
}

TEST_CASE("a few bytes that claim a large picture cost little, and a limit of memory holds") {
  const Folder folder("predict_claims");
  std::string jpeg = app_test::read_all(fixture("plain.jpg"));
  const std::size_t frame = jpeg.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  jpeg.replace(frame + 5, 4, std::string("\x40\x00\x40\x00", 4));
  std::ofstream(folder / "claim.jpg", std::ios::binary) << jpeg;
  const Result result = run({"predict", "--weights", weights(), folder / "claim.jpg"}, 0,
                            {.memory_bytes = std::size_t{2} << 30});
  CHECK(result.code == 1);
  CHECK(result.err == "fer: '" + (folder / "claim.jpg") + "' claims 16384 x 16384 pixels, which its " +
                          std::to_string(jpeg.size()) + " bytes cannot hold\n");
}

TEST_CASE("no face: a message and exit code 3") {
  if (!have_detector()) return;
  const Folder folder("predict_none");
  const std::string photo = folder / "landscape.png";
  fer::write_image(photo, fer::test::ground(300, 400));
  const Result none = predict({photo});
  CHECK(none.code == 3);
  CHECK(none.out.empty());
  CHECK(none.err ==
        photo + ": no face found; --turns looks for turned ones, --smallest-face for smaller ones\n");
  CHECK(predict({photo, "--turns"}).err ==
        photo + ": no face found, turned or not; --smallest-face looks for smaller ones\n");
  const Result as_json = predict({photo, fixture("pixel.png"), "--json"});
  CHECK(as_json.code == 3);
  CHECK(json::parse(as_json.out)[0]["faces"].empty());
  CHECK(json::parse(as_json.out)[1]["faces"].empty());
  const Result csv = predict({photo, "--csv"});
  CHECK(csv.code == 3);
  CHECK(csv.out.ends_with("\n" + photo + ",,,,,,,,,,,,,,,,\n"));
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

TEST_CASE("a broken picture does not affect the others: exit code 1") {
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
  CHECK(missing.err == "fer: '" + (folder / "none.png") + "' does not exist\nfer: '" + (folder / "none.mp4") +
                           "' does not exist\nfer: the folder '" + (folder / "empty") +
                           "' contains no picture and no video; --recursive reads its subfolders\n" +
                           "fer: '" + (folder / "nowhere") + "' does not exist\n");
  const Result device = predict({"/dev/zero", folder / "face.png"});
  CHECK(device.code == 1);
  CHECK(device.err == "fer: cannot read '/dev/zero': it is a device, not a file\n");
  CHECK(device.out.starts_with(folder / "face.png"));
  const json answers = json::parse(missing.out);
  REQUIRE(answers.size() == 5);
  CHECK(answers[0]["error"] == "'" + (folder / "none.png") + "' does not exist");
  CHECK(answers[1]["faces"].size() == 1);
  std::ofstream(folder / "drawing.png") << "<svg xmlns='http://www.w3.org/2000/svg'/>";
  const Result svg = predict({folder / "drawing.png", "--overlay", folder / "none.png"});
  CHECK(svg.code == 1);
  CHECK(svg.err ==
        "fer: '" + (folder / "drawing.png") + "' is not a picture that fer reads: it is an SVG drawing\n");
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
                         "' contains no picture and no video; --recursive reads its subfolders\n");
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
  CHECK(error({}) == "fer: predict: give pictures, videos or folders of them, or --camera\n");
  CHECK(error({photo, "--camera", "0"}) ==
        "fer: predict: give pictures, videos or folders of them, or --camera\n");
  CHECK(error({photo, "--crop", "some"}) == "fer: unknown crop mode 'some'; known are auto, detect, none\n");
  CHECK(error({photo, "--overlay", photo}) == "fer: the overlay of '" + photo + "' would overwrite it\n");
  CHECK(error({photo, "--overlay", folder.path.string()}) ==
        "fer: the overlay of '" + photo + "' would overwrite it\n");
  CHECK(error({photo, "--overlay", folder / "a.mp4"}) ==
        "fer: the overlay of '" + photo + "' cannot be '" + (folder / "a.mp4") +
            "': it must be a picture for a picture, a video for a video\n");
  fs::create_directories(folder.path / "other");
  fer::write_image(folder / "other/a.png", face);
  CHECK(error({photo, folder / "other/a.png", "--overlay", folder / "out"}) ==
        "fer: '" + photo + "' and '" + (folder / "other/a.png") + "' would have the same overlay '" +
            (folder / "out/a.png") + "'\n");
  CHECK(error({photo, folder / "other/a.png", "--overlay", folder / "x.png"}) ==
        "fer: --overlay '" + (folder / "x.png") + "' names one file for 2 inputs; name a folder\n");
  CHECK_FALSE(fs::exists(folder / "out"));
  CHECK(error({photo, "--smooth", "1"}) ==
        "fer: predict: --smooth works on the frames of a video or camera, but there is none\n");
  CHECK(contains(error({photo, "--json", "--csv"}), "--json excludes --csv"));
  CHECK(contains(error({photo, "--smallest-face", "2"}), "--smallest-face"));
  CHECK(predict({"/nowhere.png"}).err == "fer: '/nowhere.png' does not exist\n");
}

TEST_CASE("weights: from FER_WEIGHTS if none are given") {
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

TEST_CASE("a video: one reading per frame, and an overlay that plays") {
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

  // every frame has a row, also one without a face
  const Result all = predict({folder / "clip.mp4", "--csv"});
  CHECK(std::count(all.out.begin(), all.out.end(), '\n') == 1 + 4 * 3 + 2);
  CHECK(contains(all.out, "\n" + (folder / "clip.mp4") + ",4,0.4,,,,,,,,,,,,,,\n"));
  CHECK(contains(all.out, "\n" + (folder / "clip.mp4") + ",5,0.5,,,,,,,,,,,,,,\n"));

  const Result smooth = predict({folder / "clip.mp4", "--json", "--smooth", "0.5"});
  REQUIRE_MESSAGE(smooth.code == 0, smooth.err);
  const json smoothed = json::parse(smooth.out);
  REQUIRE(smoothed.size() == 6);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t f = 0; f < 3; ++f) {
      const json& face = smoothed[i]["faces"][f];
      CHECK(face["track"] == f);
      CHECK(face["smoothed"]["probabilities"].size() == 7);
      CHECK(face["probability"] == frames[i]["faces"][f]["probability"]);
      if (i == 0) CHECK(face["smoothed"]["probability"] == face["probability"]);
    }
  }
  const Result smooth_csv = predict({folder / "clip.mp4", "--csv", "--smooth", "0.5"});
  CHECK(smooth_csv.out.starts_with(
      "file,frame,seconds,face,x,y,width,height,expression,probability,track,smoothed_expression,"
      "smoothed_probability,surprise,"));
  CHECK(contains(smooth_csv.out, "clip.mp4,5,0.5,,,,,,,,,,,,,,,,,\n"));

  std::ofstream(folder / "text.mp4") << "no video";
  const Result text = predict({folder / "text.mp4", "--overlay", folder / "none.mp4"});
  CHECK(text.code == 1);
  CHECK(contains(text.err, "text.mp4' is not a video that libav can read: "));
  CHECK_FALSE(fs::exists(folder / "none.mp4"));
  const Result camera = run({"predict", "--weights", weights(), "--camera", "97"});
  CHECK(camera.code == 1);
  CHECK(camera.err == "fer: cannot open 'camera 97': No such file or directory\n");
}

TEST_CASE("--version says whether the build detects faces and reads videos") {
  const Result version = run({"--version"});
  CHECK(contains(version.out, "  faces in photographs: "));
  CHECK(contains(version.out, "  videos and cameras: "));
  CHECK(contains(version.out, "  pictures: JPEG by "));
}
