// Networks of the registry other than FERNet, from training to export, on pictures that are no faces.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "fer/data/image.h"
#include "fer/models/fernet.h"
#include "tests/app/program.h"

namespace {

using namespace app_test;

/// Circles, squares and crosses of random colour, size and place.
fer::Image shape(int kind, unsigned seed) {
  const auto random = [&seed](int most) {
    seed = seed * 1664525u + 1013904223u;
    return static_cast<int>((seed >> 16) % static_cast<unsigned>(most));
  };
  constexpr int side = 40;
  fer::Image image(side, side, 3);
  const int radius = 7 + random(6), x0 = radius + random(side - 2 * radius),
            y0 = radius + random(side - 2 * radius);
  const int colour[3] = {120 + random(135), 120 + random(135), 120 + random(135)};
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const int dx = std::abs(x - x0), dy = std::abs(y - y0);
      const bool inside = kind == 0   ? dx * dx + dy * dy <= radius * radius
                          : kind == 1 ? std::max(dx, dy) <= radius - 2
                                      : std::max(dx, dy) <= radius && std::min(dx, dy) <= 1;
      for (int c = 0; c < 3; ++c)
        image.pixels[static_cast<std::size_t>((y * side + x) * 3 + c)] =
            static_cast<std::uint8_t>(inside ? colour[c] : random(60));
    }
  }
  return image;
}

const std::vector<std::string> kinds{"circle", "square", "cross"};

/// A data set of 40 pictures of each shape.
void draw_shapes(const std::string& folder) {
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    fs::create_directories(fs::path(folder) / kinds[kind]);
    for (unsigned i = 0; i < 40; ++i)
      fer::write_image(fs::path(folder) / kinds[kind] / (std::to_string(i) + ".png"),
                       shape(static_cast<int>(kind), 1000 * static_cast<unsigned>(kind) + i));
  }
}

TEST_CASE("train: resnet18 on pictures that are no faces, and what can be done with it") {
  const Folder folder("shapes");
  draw_shapes(folder / "data");
  const Result trained =
      run({"train",    "--model",      "resnet18", "--dataset", "folder",       "--data",    folder / "data",
           "--widths", "8,16,32",      "--units",  "1,1,1",     "--image-size", "32",        "--epochs",
           "30",       "--batch-size", "16",       "--lr",      "3e-3",         "--run-dir", folder / "run"});
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  for (const char* word : {"face", "Face", "expression", "landmark", "neutral"}) {
    CAPTURE(word);
    CHECK(trained.err.find(word) == std::string::npos);
    CHECK(trained.out.find(word) == std::string::npos);
  }
  const auto result = nlohmann::json::parse(read_all(folder / "run/result.json"));
  CHECK(result["best"]["accuracy"].get<double>() > 0.8);

  const Result info = run({"info", "--weights", folder / "run"});
  CHECK(info.code == 0);
  CHECK(info.out.find("network resnet18 for 3 classes (circle, cross, square), trained on 'folder'\n"
                      "expects colour pictures of 32 x 32\n") != std::string::npos);
  const Result evaluated = run({"eval", "--weights", folder / "run", "--json"});
  REQUIRE(evaluated.code == 0);
  CHECK(nlohmann::json::parse(evaluated.out)["accuracy"] == result["best"]["accuracy"]);

  // No face is looked for, though the picture is larger than a cropped face.
  fer::write_image(folder / "large.png", fer::resize(shape(1, 77), 400, 300));
  const Result predicted = run({"predict", "--weights", folder / "run", "--json", folder / "large.png"});
  REQUIRE(predicted.code == 0);
  const auto faces = nlohmann::json::parse(predicted.out)[0]["faces"];
  REQUIRE(faces.size() == 1);
  CHECK(faces[0]["box"] == nlohmann::json({{"x", 0}, {"y", 0}, {"width", 300}, {"height", 400}}));
  CHECK(faces[0]["expression"] == "square");

  CHECK(run({"convert", folder / "run/best.safetensors", folder / "shapes.onnx"}).code == 0);
  CHECK(read_all(folder / "shapes.onnx").find("layer2.0.downsample.0") != std::string::npos);
  CHECK(run({"figure", "cam", "--weights", folder / "run", "--out", folder / "cam.svg"}).code == 0);
  const Result heat = run({"figure", "landmarks", "--weights", folder / "run", "--out", folder / "heat.svg"});
  CHECK(heat.code != 0);
  CHECK(heat.err.find("this figure shows features of a FERNet; ") != std::string::npos);
  CHECK(run({"report", folder / "run", "--out", folder / "report.html"}).code == 0);

  const Result resumed = run({"train", "--resume", folder / "run", "--epochs", "31", "--quiet"});
  CHECK(resumed.code == 0);
  const Result tuned = run({"train", "--init", folder / "run", "--dataset", "folder", "--data",
                            folder / "data", "--epochs", "1", "--run-dir", folder / "tuned"});
  INFO(tuned.err);
  CHECK(tuned.code == 0);
  CHECK(tuned.err.find("head: 3 of 3 classes keep their trained weights: circle, cross, square") !=
        std::string::npos);
}

TEST_CASE("train: poster on drawn faces, its landmark backbone first; evaluation, prediction, export") {
  const Folder folder("poster");
  std::vector<std::string> arguments = short_training(folder / "run");
  for (const char* argument : {"--model", "poster_tiny", "--image-size", "112", "--backbone-size", "112"})
    arguments.emplace_back(argument);
  const Result trained = run(arguments);
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(trained.err.find("landmark backbone: no checkpoint given") != std::string::npos);
  CHECK(fs::exists(folder / "run/landmarks-last.safetensors"));
  CHECK(run({"eval", "--weights", folder / "run"}).code == 0);
  REQUIRE(run({"faces", "--out", folder / "faces", "--identities", "1"}).code == 0);
  const std::string face = fs::directory_iterator(folder / "faces")->path().string();
  const Result predicted = run({"predict", "--weights", folder / "run", "--json", "--crop", "none", face});
  INFO(predicted.err);
  REQUIRE(predicted.code == 0);
  CHECK(nlohmann::json::parse(predicted.out)[0]["faces"][0]["landmarks"].size() == 68);
  CHECK(run({"convert", folder / "run/best.safetensors", folder / "poster.onnx"}).code == 0);
  CHECK(run({"train", "--resume", folder / "run", "--max-steps", "3", "--quiet"}).code == 0);
}

TEST_CASE("convert: --model and --class-names describe weights of another program") {
  const Folder folder("described");
  fer::FERNet net(fer::preset("tiny", 3));
  fer::save_state_dict(folder / "weights.safetensors", net.state_dict());
  const std::string weights = folder / "weights.safetensors", out = folder / "out.safetensors";
  CHECK(run({"info", "--weights", weights}).code == 1);
  const Result missing = run({"convert", weights, out, "--model", "tiny"});
  CHECK(missing.code == 2);
  CHECK(missing.err.find("--model needs --class-names: the classes in the order of the scores") !=
        std::string::npos);
  const Result described = run(
      {"convert", weights, out, "--model", "tiny", "--class-names", "calm,happy,sad", "--colour", "grey"});
  INFO(described.err);
  REQUIRE(described.code == 0);
  const Result info = run({"info", "--weights", out});
  CHECK(info.out.find("network tiny for 3 classes (calm, happy, sad)") != std::string::npos);
  CHECK(info.out.find("expects grey pictures of 112 x 112") != std::string::npos);
  const Result four = run({"convert", weights, out, "--model", "tiny", "--class-names", "a,b,c,d"});
  CHECK(four.code == 1);
  CHECK(four.err.find("'head.weight' has shape (3, 48), 'head.weight' needs (4, 48)") != std::string::npos);
  const Result again = run({"convert", out, folder / "again.safetensors", "--model", "tiny"});
  CHECK(again.code == 2);
  CHECK(again.err.find("says itself which network it holds; leave --model out") != std::string::npos);
  CHECK(run({"convert", weights, folder / "net.onnx", "--model", "tiny", "--class-names", "calm,happy,sad"})
            .code == 0);
}

TEST_CASE("train: settings of another kind of network are refused") {
  const Result stem = run({"train", "--model", "resnet18", "--stem", "8"});
  CHECK(stem.code == 2);
  CHECK(stem.err.find("the model 'resnet18' has no setting 'stem'") != std::string::npos);
  const Folder folder("parts");
  draw_shapes(folder / "data");
  const std::string weights = folder / "tiny.safetensors";
  fer::save_state_dict(weights, fer::FERNet(fer::preset("tiny")).landmark_backbone().state_dict());
  const auto refused = [&](const char* flag) {
    const Result result = run({"train", "--model", "resnet18", "--dataset", "folder", "--data",
                               folder / "data", flag, weights, "--run-dir", folder / "run"});
    CHECK(result.code == 2);
    CHECK(!fs::exists(folder / "run"));
    return result.err.substr(result.err.rfind("fer: "));
  };
  CHECK(refused("--landmarks") == "fer: 'landmarks': the model 'resnet18' has no landmark backbone\n");
  CHECK(refused("--vit") ==
        "fer: 'vit': the model 'resnet18' has no attention blocks that could start from it\n");
  const Result unknown = run({"train", "--model", "resnet8"});
  CHECK(unknown.code == 2);
  CHECK(unknown.err.find("resnet18") != std::string::npos);
}

TEST_CASE("bench: --model takes every model of the registry") {
  const Result bench =
      run({"bench", "model", "--model", "resnet18", "--batch", "1", "--seconds", "0.01", "--json"});
  REQUIRE(bench.code == 0);
  CHECK(nlohmann::json::parse(bench.out)["preset"] == "resnet18");
}

}  // namespace
