// The paper's tables, figures and the report page, from end to end on drawn faces with a few steps.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "app/program.h"
#include "fer/data/image.h"
#include "fer/formats/state_dict.h"

using app_test::Folder;
using app_test::read_all;
using app_test::Result;
using app_test::run;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// `first` and then `more`.
std::vector<std::string> arguments(std::vector<std::string> first, const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

/// Flags for a table with a few steps per cell.
std::vector<std::string> table(const std::string& name, const std::string& folder,
                               const std::vector<std::string>& more) {
  return arguments({"ablate",
                    name,
                    "--out",
                    folder,
                    "--preset",
                    "tiny",
                    "--train-identities",
                    "4",
                    "--test-identities",
                    "2",
                    "--faces-per-identity",
                    "7",
                    "--epochs",
                    "1",
                    "--max-steps",
                    "2",
                    "--landmark-epochs",
                    "1",
                    "--batch-size",
                    "7",
                    "--landmark-batch-size",
                    "14",
                    "--validation",
                    "0.25"},
                   more);
}

/// Two runs that differ in their loss, trained once for all figures.
struct Runs {
  Folder folder{"figures"};
  Runs() {
    auto first = app_test::short_training(folder / "neaa");
    first.insert(first.end(), {"--max-steps", "4", "--tensorboard"});
    const Result neaa = run(first);
    REQUIRE_MESSAGE(neaa.code == 0, neaa.err);
    auto second = app_test::short_training(folder / "plain");
    second.insert(second.end(), {"--max-steps", "4", "--loss", "none", "--seed", "5"});
    const Result plain = run(second);
    REQUIRE_MESSAGE(plain.code == 0, plain.err);
  }
};

Runs& runs() {
  static Runs trained;
  return trained;
}

/// Makes the figure as SVG and PNG; returns the SVG.
std::string figure(const std::string& kind, const std::vector<std::string>& more) {
  Runs& r = runs();
  std::string svg;
  for (const char* extension : {".svg", ".png"}) {
    const std::string out = r.folder / (kind + extension);
    const Result result =
        run(arguments({"figure", kind, "--weights", r.folder / "neaa", "--out", out, "--zoom", "1"}, more));
    REQUIRE_MESSAGE(result.code == 0, result.err);
    CHECK(result.out == "wrote " + out + "\n");
    if (std::string(extension) == ".svg") {
      svg = read_all(out);
    } else {
      const fer::Image picture = fer::read_image(out);
      CHECK(picture.width > 120);
      CHECK(picture.height > 100);
    }
  }
  CHECK(contains(svg, "</svg>"));
  return svg;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("ablate modules: a cell a row and seed, tables in three forms, cells are not run twice") {
  const Folder folder("modules");
  const Result first = run(table("modules", folder / "t", {"--variants", "product,all", "--seeds", "1,2"}));
  REQUIRE_MESSAGE(first.code == 0, first.err);
  CHECK(contains(first.out, "| none |"));
  CHECK(contains(first.out, "| product |"));
  CHECK(contains(first.out, "| all |"));
  CHECK_FALSE(contains(first.out, "| cross |"));
  const auto json = nlohmann::json::parse(read_all(folder / "t/modules.json"));
  CHECK(json["reference"] == "none");
  REQUIRE(json["variants"].size() == 3);
  CHECK(json["variants"][0]["cells"].size() == 2);
  CHECK(json["variants"][1]["settings"]["product"] == "true");
  CHECK(json["variants"][2]["accuracy"]["against_reference"]["pairs"] == 2);
  CHECK(json["variants"][2]["mcnemar"].size() == 2);
  CHECK(count(read_all(folder / "t/modules.csv"), "\n") == 7);
  CHECK(contains(read_all(folder / "t/modules.md"), "(the paper's Table 1)"));
  CHECK(app_test::fs::exists(folder / "t/all/seed-2/best.safetensors"));
  CHECK_FALSE(app_test::fs::exists(folder / "t/all/seed-2/last.safetensors"));

  // The same command again runs nothing. A damaged cell is run again. A further seed is added.
  const std::string before = read_all(folder / "t/all/seed-1/cell.json");
  app_test::fs::remove_all(folder / "t/product/seed-2");
  const Result again =
      run(table("modules", folder / "t", {"--variants", "product,all", "--seeds", "1,2", "--json"}));
  REQUIRE_MESSAGE(again.code == 0, again.err);
  CHECK(contains(again.err, "cell 1 of 6: none, seed 1, done before"));
  CHECK(count(again.err, "done before") == 5);
  CHECK(read_all(folder / "t/all/seed-1/cell.json") == before);
  auto same = nlohmann::json::parse(again.out), old = json;
  for (auto* table_json : {&same, &old}) {
    for (auto& variant : (*table_json)["variants"]) {
      for (auto& cell : variant["cells"]) cell.erase("seconds");
    }
  }
  CHECK(same == old);

  const Result other = run(table("modules", folder / "t", {"--lr", "0.5"}));
  CHECK(other.code == 2);
  CHECK(contains(other.err,
                 "holds cells of another table: configuration/training/lr is 0.001 there and 0.5 here"));
}

TEST_CASE("ablate heatmap, depth and loss run, and list their rows") {
  const Folder folder("tables");
  for (const auto& [name, row] : {std::pair<std::string, std::string>{"heatmap", "abs_sum"},
                                  {"depth", "8 blocks"},
                                  {"loss", "anchor"}}) {
    const Result result = run(table(name, folder / name, {"--variants", row, "--seeds", "1"}));
    REQUIRE_MESSAGE(result.code == 0, result.err);
    CHECK(contains(result.out, "| " + row + " |"));
  }
  CHECK(contains(read_all(folder / "loss/loss.md"), "neutral recall, %"));
  CHECK(run({"ablate", "modules", "--list"}).out ==
        "none  (the reference)\nproduct\ncross\nNeAA\nproduct + cross\ncross + NeAA\nproduct + NeAA\nall\n");
  CHECK(run({"ablate", "loss", "--weights", "0.1,1", "--list"}).out ==
        "none  (the reference)\nanchor\nNeAA 0.1\nNeAA 1\n");
  CHECK(contains(run({"ablate", "depth", "--vit", "x.pth", "--list"}).out, "ViT"));
}

TEST_CASE("ablate: a second process can neither use the folder nor resume the running cell") {
  const Folder folder("locked_table");
  const auto held = [&](const std::string& path) {
    return "fer: another fer is writing in the folder '" + path +
           "'; wait until it has ended, or name another folder\n";
  };
  const std::vector<std::string> more{"--variants",  "product", "--seeds",  "1",
                                      "--max-steps", "0",       "--epochs", "1000"};
  app_test::Background first(table("modules", folder / "t", more));
  REQUIRE(first.has_said("epoch 1/1000"));
  const Result second = run(table("modules", folder / "t", more));
  CHECK(second.code == 1);
  CHECK(second.err == held(folder / "t"));
  const Result cell = run({"train", "--resume", folder / "t/none/seed-1"});
  CHECK(cell.code == 1);
  CHECK(cell.err == held(folder / "t/none/seed-1"));
  first.send(SIGTERM);
  const Result stopped = first.wait();
  CHECK_MESSAGE(stopped.code == 128 + SIGTERM, stopped.err);
}

TEST_CASE("ablate: errors") {
  const Folder folder("bad_tables");
  const Result unknown = run({"ablate", "colour"});
  CHECK(unknown.code == 2);
  CHECK(contains(unknown.err, "unknown table 'colour'; known are modules, depth, loss, heatmap"));
  const Result row = run({"ablate", "heatmap", "--variants", "median"});
  CHECK(row.code == 2);
  CHECK(contains(row.err, "the table 'heatmap' has no variant 'median'; it has conv, sum, abs_sum, max"));
  std::ofstream(folder / "something") << "x";
  const Result taken = run(table("heatmap", folder.path.string(), {}));
  CHECK(taken.code == 1);
  CHECK(contains(taken.err, "is not empty and holds no table; name another one"));
}

TEST_CASE("eval --compare: McNemar against other weights, a run folder or a saved evaluation") {
  Runs& r = runs();
  const std::string saved = r.folder / "plain.json";
  REQUIRE(run({"eval", "--weights", r.folder / "plain", "--save", saved}).code == 0);
  const Result json =
      run({"eval", "--weights", r.folder / "neaa", "--compare", r.folder / "plain", "--json"});
  REQUIRE_MESSAGE(json.code == 0, json.err);
  const auto result = nlohmann::json::parse(json.out);
  const auto& test = result["mcnemar"];
  CHECK(test["both_right"].get<int>() + test["only_first_right"].get<int>() +
            test["only_second_right"].get<int>() + test["both_wrong"].get<int>() ==
        14);
  CHECK(result["mended"].size() == test["only_second_right"]);
  CHECK(run({"eval", "--weights", r.folder / "neaa", "--compare", saved, "--json"}).out == json.out);
  CHECK(contains(run({"eval", "--weights", r.folder / "neaa", "--compare", saved}).out,
                 "McNemar's exact test: p = "));
  // Errors are reported before the evaluation, so nothing is printed or saved.
  const auto refused = [&](std::vector<std::string> more, const std::string& message) {
    more.insert(more.begin(), {"eval", "--weights", r.folder / "neaa"});
    const Result wrong = run(more);
    CHECK(wrong.code == 1);
    CHECK(wrong.out.empty());
    CHECK(wrong.err == "fer: " + message + "\n");
  };
  const std::string kept = r.folder / "kept.json";
  refused(
      {"--compare", saved, "--split", "train", "--save", kept},
      saved + ": covers 14 samples, but the train part of 'faces' has 42; both must cover the same samples");
  refused({"--compare", r.folder / "none.safetensors", "--save", kept},
          "cannot read '" + (r.folder / "none.safetensors") + "': No such file or directory");
  refused({"--compare", r.folder / "none.json", "--save", kept},
          "cannot read '" + (r.folder / "none.json") + "': No such file or directory");
  CHECK_FALSE(app_test::fs::exists(kept));
  refused({"--save", r.folder / "nowhere/e.json"},
          "cannot write '" + (r.folder / "nowhere/e.json") + "': No such file or directory");
  for (const char* part : {"train", "test"}) {
    for (const char* name : {"glad", "neutral"}) {
      app_test::fs::create_directories(r.folder.path / "two" / part / name);
      fer::write_image(r.folder.path / "two" / part / name / "a.png", fer::Image(20, 20, 3, 90));
    }
  }
  const std::string classes =
      "the data set 'folder' has the classes glad, neutral; the network, trained on 'faces', has "
      "surprise, fear, disgust, happiness, sadness, anger, neutral; an evaluation needs two classes in "
      "common";
  refused({"--dataset", "folder", "--data", r.folder / "two"}, classes);
  const Result figure = run({"figure", "confusion", "--weights", r.folder / "neaa", "--out",
                             r.folder / "x.svg", "--dataset", "folder", "--data", r.folder / "two"});
  CHECK(figure.err == "fer: " + classes + "\n");
}

TEST_CASE("figure landmarks") {
  const std::string svg = figure("landmarks", {"--count", "3"});
  CHECK(count(svg, "<image") == 9);
  CHECK(contains(svg, ">landmarks</text>"));
  CHECK(contains(svg, ">heat map</text>"));
  // Pictures that would need gigabytes when enlarged to a face's size.
  fer::write_image(runs().folder / "wide.png", fer::Image(1, 5000, 3, 90));
  fer::write_image(runs().folder / "high.png", fer::Image(60000, 1, 3, 90));
  const std::string line =
      figure("landmarks", {"--pictures", runs().folder / "wide.png", runs().folder / "high.png"});
  CHECK(count(line, "<image") == 6);
  CHECK(line.size() < 2000000);
}

TEST_CASE("figure cam: layers, classes, a second network, pictures of one's own") {
  CHECK(count(figure("cam", {"--samples", "0,3"}), "<image") == 6);
  const std::string svg = figure("cam", {"--samples", "0,3", "--layers", "stage1,f_img", "--class", "anger",
                                         "--compare", runs().folder / "plain"});
  CHECK(count(svg, "<image") == 8);
  CHECK(contains(svg, "anger"));
  REQUIRE(run({"faces", "--sheet", runs().folder / "face.png", "--identities", "1", "--per-identity", "1"})
              .code == 0);
  CHECK(count(figure("cam", {"--pictures", runs().folder / "face.png"}), "<image") == 3);
  const auto wrong = [](const std::vector<std::string>& more) {
    return run(arguments(
        {"figure", "cam", "--weights", runs().folder / "neaa", "--out", runs().folder / "x.svg"}, more));
  };
  CHECK(contains(wrong({"--layers", "stage7"}).err,
                 "unknown layer 'stage7'; known are stage1, stage2, stage3, f_img, f_fusion"));
  CHECK(contains(wrong({"--class", "joy"}).err, "unknown class 'joy'; known are predicted, true, surprise"));
  CHECK(contains(wrong({"--class", "true", "--pictures", runs().folder / "face.png"}).err,
                 "'face.png' has no label; ask for the class 'predicted' or for a named one"));
  CHECK(contains(wrong({"--samples", "400"}).err, "there is no sample 400 in faces (test), which has 14"));
  CHECK_FALSE(app_test::fs::exists(runs().folder / "x.svg"));
}

TEST_CASE("figure attention: parts of the face by heads") {
  // The class token and seven parts; four heads and their mean.
  CHECK(count(figure("attention", {"--samples", "2"}), "<image") == 40);
  CHECK(count(figure("attention", {"--samples", "2", "--points", "30"}), "<image") == 10);
  const Result point = run({"figure", "attention", "--weights", runs().folder / "neaa", "--out",
                            runs().folder / "x.svg", "--points", "68"});
  CHECK(point.code == 2);
  CHECK(contains(point.err, "there is no landmark 68; they are 0 to 67"));
}

TEST_CASE("figure confusion, changes and tokens") {
  CHECK(contains(figure("confusion", {}), ">predicted</text>"));
  const std::string changes = figure("changes", {"--compare", runs().folder / "plain", "--count", "4"});
  CHECK(contains(changes, "Mended: 1 wrong, 2 right"));
  CHECK(contains(changes, "McNemar&#39;s exact test: p = "));
  const std::string tokens = figure("tokens", {"--perplexity", "4"});
  CHECK(contains(tokens, "Class tokens: t-SNE"));
  CHECK(contains(tokens, "the stronger the arousal"));
  CHECK(contains(tokens, "neutral tokens"));
  const Result method = run({"figure", "tokens", "--weights", runs().folder / "neaa", "--out",
                             runs().folder / "x.svg", "--methods", "umap"});
  CHECK(method.code == 2);
  CHECK(contains(method.err, "unknown method 'umap'; known are pca, tsne"));
  CHECK(run({"figure", "confusion", "--weights", runs().folder / "neaa", "--out", runs().folder / "x.bmp"})
            .code == 2);
  CHECK(run({"figure"}).code == 2);
}

TEST_CASE("report: one self-contained page") {
  Runs& r = runs();
  const Result made = run(
      {"report", r.folder / "neaa", r.folder / "plain", "--out", r.folder / "report.html", "--gallery", "3"});
  REQUIRE_MESSAGE(made.code == 0, made.err);
  const std::string page = read_all(r.folder / "report.html");
  for (const char* part :
       {"<h2 id=summary>", "<h2 id=comparison>", "Training loss and validation loss (cross-entropy)",
        "Validation loss (cross-entropy)", "Learning rate", "Throughput", "Confusion matrix", "Most wrong",
        "Least certain", "McNemar p", "prefers-color-scheme"}) {
    CHECK_MESSAGE(contains(page, part), part);
  }
  CHECK(contains(page, "<th scope=row>loss</th><td>neaa</td><td>none</td>"));
  // The page says what is measured. Captions name files without their folders.
  CHECK(contains(page, "14 samples of faces (test), labels: as drawn"));
  CHECK(contains(page, "best.safetensors, SHA-256 "));
  // The page fetches nothing: its only addresses are SVG's namespace.
  CHECK(count(page, "http") == count(page, "http://www.w3.org/2000/svg"));
  CHECK_FALSE(contains(page, "src=\"/"));
  CHECK_FALSE(contains(page, "@import"));
  CHECK(count(page, "<section") == count(page, "</section>"));
  CHECK(count(page, "<table>") == count(page, "</table>"));
  CHECK(count(page, "<details>") == count(page, "</details>"));

  // Notes on a run's weights are printed here, too.
  const std::string renamed = r.folder / "renamed", best = renamed + "/best.safetensors";
  app_test::fs::copy(r.folder / "neaa", renamed, app_test::fs::copy_options::recursive);
  const fer::StateFile weights = fer::read_state_file(best);
  fer::StateDict wrapped;
  for (const auto& [name, tensor] : weights.tensors)
    wrapped.insert((wrapped.empty() ? "module." : "") + name, tensor);
  fer::save_state_dict(best, wrapped, weights.metadata);
  const Result noted = run({"report", renamed, "--out", r.folder / "renamed.html", "--gallery", "0"});
  CHECK(noted.code == 0);
  CHECK(noted.err == best + ": removed: 'module.' from 1 name\n");

  const Result events = run({"report", r.folder / "neaa", "--tensorboard", r.folder / "events"});
  REQUIRE_MESSAGE(events.code == 0, events.err);
  CHECK(app_test::fs::exists(r.folder / "events/neaa"));

  // With the flag, a run writes event files while it trains.
  CHECK(app_test::fs::exists(r.folder / "neaa/tensorboard/landmarks"));
  CHECK(app_test::fs::exists(r.folder / "neaa/tensorboard/image"));
  CHECK_FALSE(app_test::fs::exists(r.folder / "plain/tensorboard"));

  const Result none = run({"report", r.folder / "nothing"});
  CHECK(none.code == 1);
  const Result no_events = run({"report", r.folder / "nothing", "--tensorboard", r.folder / "events"});
  CHECK(no_events.code == 1);
  CHECK(no_events.out.empty());
  CHECK(contains(none.err, "is no run folder: it holds no config.json"));
}
