// Weights on data with other classes, runs that start from weights, and what result files say about
// themselves.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "app/program.h"
#include "fer/data/dataset.h"
#include "fer/data/image.h"
#include "fer/formats/atomic_file.h"

using app_test::Folder;
using app_test::read_all;
using app_test::Result;
using app_test::run;
using nlohmann::json;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<std::string> arguments(std::vector<std::string> first, const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

/// Weights for the seven expressions, and a folder of drawn faces with other class names.
struct Files {
  Folder folder{"classes"};
  std::string weights = folder / "run", data = folder / "data";

  Files() {
    const Result trained =
        run(arguments(app_test::short_training(weights), {"--max-steps", "2", "--landmark-identities", "4"}));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    // Of surprise, fear, disgust, happiness, sadness, anger and neutral.
    const std::vector<std::string> names{"", "bored", "", "Happy", "sad", "1_angry", "normal"};
    for (const fer::Split split : {fer::Split::train, fer::Split::test}) {
      fer::DatasetOptions options;
      options.validation_fraction = 0;
      options.name = "faces";
      options.split = split;
      options.train_identities = 4;
      options.test_identities = 2;
      options.faces_per_identity = 7;
      const auto faces = fer::open_dataset(options);
      for (std::int64_t i = 0; i < faces->size(); ++i) {
        const fer::Sample face = faces->sample(i);
        const std::string& name = names[static_cast<std::size_t>(face.label)];
        if (name.empty()) continue;
        const app_test::fs::path place = app_test::fs::path(data) / name_of(split) / name;
        app_test::fs::create_directories(place);
        fer::write_image(place / (std::to_string(i) + ".png"), face.image);
      }
    }
  }
};

Files& files() {
  static Files all;
  return all;
}

}  // namespace

TEST_CASE("eval on a folder with other classes measures the common ones, and says so in text and JSON") {
  Files& f = files();
  const std::vector<std::string> eval{"eval",   "--weights", f.weights, "--dataset",
                                      "folder", "--data",    f.data};
  const Result text = run(eval);
  REQUIRE_MESSAGE(text.code == 0, text.err);
  CHECK(contains(text.out, "8 samples of folder (test), labels: class folders\n"));
  CHECK(contains(text.out, "weights: best.safetensors, SHA-256 "));
  CHECK(contains(
      text.out,
      "\nclasses in common: 1_angry, Happy, normal, sad; of the data set alone: bored; of the network "
      "alone: surprise, fear, disgust\npredictions are the most probable of the classes in common; 2 "
      "samples of other classes are left out\n"));
  const Result printed = run(arguments(eval, {"--json", "--save", f.folder / "saved.json"}));
  const json result = json::parse(printed.out);
  CHECK(result["document"] == "fer evaluation");
  CHECK(result["version"] == 2);
  CHECK(result["dataset"] == "folder");
  CHECK(result["split"] == "test");
  CHECK(result["labels"] == "class folders");
  CHECK(result["weights"]["file"] == "best.safetensors");
  CHECK(result["weights"]["sha256"].get<std::string>().size() == 64);
  CHECK(result["dataset_classes"] == json({"1_angry", "Happy", "bored", "normal", "sad"}));
  CHECK(result["only_in_dataset"] == json({"bored"}));
  CHECK(result["only_in_network"] == json({"surprise", "fear", "disgust"}));
  CHECK(result["left_out"] == 2);
  CHECK(result["samples"] == 8);
  CHECK(result["classes"].size() == 4);

  // A network trained on the folder's own classes, compared with those weights on the common classes.
  const std::string own = f.folder / "own";
  REQUIRE(run({"train", "--init", f.weights, "--dataset", "folder", "--data", f.data, "--run-dir", own,
               "--max-steps", "1", "--batch-size", "7", "--quiet"})
              .code == 0);
  const std::vector<std::string> compare{"eval", "--weights", own, "--compare"};
  const Result against = run(arguments(compare, {f.weights, "--json"}));
  REQUIRE_MESSAGE(against.code == 0, against.err);
  const json both = json::parse(against.out);
  CHECK(both["document"] == "fer comparison");
  CHECK(both["first"]["samples"] == 8);
  CHECK(both["second"]["samples"] == 8);
  CHECK(both["second"]["left_out"] == 2);
  CHECK(both["second"]["only_in_network"] == json({"bored"}));
  CHECK(run(arguments(compare, {f.folder / "saved.json", "--json"})).out == against.out);

  const Result figure = run({"figure", "confusion", "--weights", f.weights, "--dataset", "folder", "--data",
                             f.data, "--out", f.folder / "confusion.svg"});
  CHECK_MESSAGE(figure.code == 0, figure.err);
  CHECK(contains(read_all(f.folder / "confusion.svg"), " of 8 right"));
  const Result changes =
      run({"figure", "changes", "--weights", own, "--compare", f.weights, "--out", f.folder / "changes.svg"});
  CHECK_MESSAGE(changes.code == 0, changes.err);
  CHECK_FALSE(contains(read_all(f.folder / "changes.svg"), f.folder.path.string()));
  for (const char* kind : {"cam", "tokens"}) {
    const Result drawn = run({"figure", kind, "--weights", f.weights, "--dataset", "folder", "--data", f.data,
                              "--out", f.folder / "drawn.svg"});
    CHECK_MESSAGE(drawn.code == 0, drawn.err);
  }
  // A run's page names picture files relative to their folder.
  REQUIRE(run({"report", own, "--out", f.folder / "own.html"}).code == 0);
  const std::string page = read_all(f.folder / "own.html");
  CHECK(contains(page, "<p class=note>test/"));
  CHECK_FALSE(contains(page, "<p class=note>/"));
}

TEST_CASE("an evaluation of another kind, or of a later program, is refused by name") {
  Files& f = files();
  const auto compared = [&](const std::string& head) {
    const std::string path = f.folder / "other.json";
    fer::write_file_atomically(path, "{" + head + "}");
    const Result result = run({"eval", "--weights", f.weights, "--compare", path});
    CHECK(result.code == 1);
    CHECK(result.out.empty());
    return result.err.substr(std::min(result.err.size(), ("fer: " + path).size()));
  };
  CHECK(compared("\"document\": \"fer comparison\", \"version\": 1") ==
        ": holds \"fer comparison\", not a fer evaluation\n");
  CHECK(compared("\"document\": \"fer evaluation\", \"version\": 9") ==
        ": is of version 9 of a fer evaluation; this program reads up to 2\n");
  CHECK(compared("\"document\": \"fer evaluation\", \"version\": \"2\"") ==
        ": 'version' must be a whole number from 1, got \"2\"\n");
  // Files of earlier programs have no head.
  CHECK(contains(compared("\"samples\": 3"), ": not an evaluation with its predictions"));
}

TEST_CASE(
    "train --init: sizes from the weights, flags over its defaults, contradictions and resuming refused") {
  Files& f = files();
  const std::string folder = f.folder / "tuned";
  const std::vector<std::string> train{
      "train", "--init", f.weights + "/best.safetensors", "--dataset", "folder", "--data", f.data};
  const Result first =
      run(arguments(train, {"--run-dir", folder, "--max-steps", "1", "--batch-size", "7", "--lr", "5e-5"}));
  REQUIRE_MESSAGE(first.code == 0, first.err);
  CHECK(contains(first.err,
                 "head: 4 of 5 classes keep their trained weights: 1_angry (anger), Happy "
                 "(happiness), normal (neutral), sad (sadness); new: bored; dropped: surprise, fear, "
                 "disgust\n"));
  CHECK_FALSE(contains(first.err, "drawn faces first"));
  const json config = json::parse(read_all(folder + "/config.json"));
  CHECK(config["document"] == "fer configuration");
  CHECK(config["version"] == 1);
  CHECK(config["preset"] == "tiny");
  CHECK(config["model"]["classes"] == 5);
  CHECK(config["training"]["lr"] == 5e-5);
  const Result again = run({"train", "--resume", folder, "--init", f.weights});
  CHECK(again.code == 2);
  CHECK(again.err == "fer: --init starts a new run; '" + folder + "' continues from its own checkpoint\n");
  CHECK(run({"train", "--resume", folder, "--max-steps", "2"}).code == 0);

  const Result other = run(arguments(train, {"--run-dir", f.folder / "none", "--preset", "small"}));
  CHECK(other.code == 2);
  CHECK(contains(other.err,
                 "that the run starts from has 1; with 'init', leave out 'preset' and the network's "
                 "settings\n"));
  const Result missing = run({"train", "--init", f.folder / "gone.safetensors", "--dataset", "folder",
                              "--data", f.data, "--run-dir", f.folder / "none"});
  CHECK(missing.code == 1);
  CHECK(missing.err ==
        "fer: cannot read '" + (f.folder / "gone.safetensors") + "': No such file or directory\n");
  CHECK_FALSE(app_test::fs::exists(f.folder / "none"));
}

TEST_CASE("every JSON that fer writes says what it is and of which version") {
  Files& f = files();
  const auto head = [](const json& document, const std::string& kind, int version = 1) {
    CHECK_MESSAGE(document.value("document", "") == "fer " + kind, kind);
    CHECK_MESSAGE(document.value("version", 0) == version, kind);
  };
  const auto printed = [](const std::vector<std::string>& command) { return json::parse(run(command).out); };
  const std::string weights = f.weights + "/best.safetensors";
  const json result = json::parse(read_all(f.weights + "/result.json"));
  head(result, "training result");
  CHECK(result["best"]["labels"] == "as drawn");
  CHECK(result["best"]["weights"]["file"] == "best.safetensors");
  const std::string log = read_all(f.weights + "/metrics.jsonl");
  head(json::parse(log.substr(0, log.find('\n'))), "metrics");
  head(printed({"info", "--preset", "tiny", "--json"}), "model");
  head(printed({"data", "check", "--dataset", "folder", "--data", f.data, "--json"}), "data check");
  head(printed({"gradcheck", "--only", "prelu", "--list", "--json"}), "gradient check");
  head(printed({"convert", weights, "--list", "--json"}), "conversion");
  head(printed({"convert", weights, f.folder / "w.pth", "--json"}), "conversion");
  head(printed({"bench", "ops", "--preset", "small", "--batch", "2", "--only", "adam", "--seconds", "0.01",
                "--json"}),
       "benchmark");
  REQUIRE(run({"faces", "--sheet", f.folder / "face.png", "--identities", "1", "--per-identity", "1"}).code ==
          0);
  head(printed({"predict", "--weights", weights, f.folder / "face.png", "--json"})[0], "prediction");
  head(printed({"predict", "--weights", weights, f.folder / "none.png", "--json"})[0], "prediction");
}
