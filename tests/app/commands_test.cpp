// The commands as a user runs them: results, messages and exit codes.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/program.h"

using app_test::Folder;
using app_test::Result;
using app_test::run;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("help and version") {
  CHECK(run({"--help"}).code == 0);
  for (const char* command : {"train", "eval", "predict", "convert", "info", "gradcheck", "faces", "bench"}) {
    const Result help = run({command, "--help"});
    CHECK(help.code == 0);
    CHECK(contains(help.out, "Options"));
  }
  const Result version = run({"--version"});
  CHECK(version.code == 0);
  CHECK(contains(version.out, "cpu: cpu ("));
}

TEST_CASE("wrong usage exits with 2 and names the known words") {
  const Result nothing = run({});
  CHECK(nothing.code == 2);
  CHECK(nothing.err == "fer: A subcommand is required; fer --help says more\n");
  CHECK(run({"figure", "cam"}).err ==
        "fer figure cam: --weights is required; fer figure cam --help says more\n");
  CHECK(run({"info", "--levels", "-1"}).code == 2);
  for (const auto& [seed, said] : {std::pair<std::string, std::string>{"-1", "-1"},
                                   {"", ""},
                                   {"1,x", "x"},
                                   {"1.5", "1.5"},
                                   {"18446744073709551616", "18446744073709551616"}}) {
    const Result result = run({"ablate", "modules", "--list", "--seeds", seed});
    CHECK(result.code == 2);
    CHECK(result.err == "fer ablate: --seeds: must be a whole number from 0 to 18446744073709551615, got '" +
                            said + "'; fer ablate --help says more\n");
  }
  CHECK(run({"faces", "--seed", "-1", "--sheet", "unused.png"}).code == 2);
  const Result command = run({"trian"});
  CHECK(command.code == 2);
  CHECK(command.err == "fer: unknown command 'trian'; did you mean 'train'?\n");
  CHECK(run({"nonsense"}).err == "fer: unknown command 'nonsense'; fer --help lists them\n");
  const Result figure = run({"figure", "confusoin", "--weights", "w", "--out", "x.svg"});
  CHECK(figure.code == 2);
  CHECK(figure.err == "fer figure: unknown figure 'confusoin'; did you mean 'confusion'?\n");
  CHECK(run({"figure", "nonsense"}).err ==
        "fer figure: unknown figure 'nonsense'; fer figure --help lists them\n");
  CHECK(run({"figure"}).err == "fer figure: A subcommand is required; fer figure --help says more\n");
  const Result flag = run({"train", "--epochz", "3"});
  CHECK(flag.code == 2);
  CHECK(flag.err == "fer train: unknown flag --epochz; did you mean --epochs?\n");
  CHECK(run({"train", "--resume", "runs/x", "--config", "run.json"}).code == 2);
  const Result preset = run({"train", "--preset", "huge", "--run-dir", "unused"});
  CHECK(preset.code == 2);
  CHECK(contains(preset.err, "tiny"));
  const Result device = run({"train", "--device", "tpu"});
  CHECK(device.code == 2);
  CHECK(contains(device.err, "unknown device 'tpu'; known are cpu, simt, cuda"));
  const Result precision = run({"bench", "train", "--precision", "fp8"});
  CHECK(precision.code == 2);
  CHECK(contains(precision.err, "unknown precision 'fp8'; known are float32, tf32, bf16"));
  for (const char* name : {"train", "eval", "predict", "bench"}) {
    CHECK(contains(run({name, "--help"}).out, "--precision"));
  }
  const Result on_cpu = run({"train", "--precision", "bf16", "--run-dir", "unused"});
  CHECK(on_cpu.code == 2);
  CHECK(contains(on_cpu.err, "device cpu has no bf16 arithmetic"));
  CHECK(contains(run({"train", "--epochs", "many"}).err,
                 "command line: 'epochs' must be a whole number, got 'many'"));
}

TEST_CASE("the last of two equal flags counts, and a switch needs no value") {
  const std::vector<std::string> twice{"train", "--epochs", "3", "--epochs", "no"};
  CHECK(run(twice).err == "fer: command line: 'epochs' must be a whole number, got 'no'\n");
  CHECK(run({"train", "--overfit-batch", "--lr", "-1"}).err == "fer: 'lr' must be positive, got -1\n");
}

TEST_CASE("a result that cannot be written is an error") {
  app_test::Limits full;
  full.file_bytes = 64;
  for (const char* argument : {"info", "--help", "--version"}) {
    const Result cut = run({argument}, 0, full);
    CHECK(cut.code == 1);
    CHECK(cut.err == "fer: cannot write the standard output\n");
  }
}

TEST_CASE("info compares POSTER with the paper's Table 7") {
  const Result info = run({"info", "--model", "poster", "--levels", "0"});
  REQUIRE(info.code == 0);
  CHECK(info.out.find("  71.8 M  15.7 G      71.85 M  7.86 G\n") != std::string::npos);
  CHECK(info.out.find("two operations per multiply-add") != std::string::npos);
}

TEST_CASE("info counts the paper's parameters, and explains the paper's own counts") {
  const Result info = run({"info", "--preset", "paper", "--json"});
  REQUIRE(info.code == 0);
  const auto json = nlohmann::json::parse(info.out);
  CHECK(json["modules"][0]["parameters"] == 32649287);
  REQUIRE(json["paper"].size() == 4);
  for (const auto& row : json["paper"]) {
    CHECK(std::abs(row["parameters"].get<double>() / row["paper_parameters"].get<double>() - 1) < 0.08);
    CHECK(row["difference"].get<std::string>().size() > 10);
  }
}

TEST_CASE("faces draws a folder that the folder data set reads") {
  const Folder folder("faces");
  const Result faces = run({"faces", "--out", folder / "train", "--identities", "2", "--size", "48",
                            "--sheet", folder / "sheet.png"});
  CHECK(faces.code == 0);
  CHECK(app_test::fs::file_size(folder / "sheet.png") > 1000);
  CHECK(run({"faces", "--sheet", folder / "wide.jpg", "--per-identity", "1000"}).err ==
        "fer: faces: a sheet of 112000 x 784 pixels is too large; draw fewer faces or a smaller --size\n");
  CHECK(run({"faces", "--out", folder / "test", "--identities", "1", "--seed", "2", "--size", "48"}).code ==
        0);
  const Result train = run({"train",
                            "--dataset",
                            "folder",
                            "--data",
                            folder.path.string(),
                            "--preset",
                            "tiny",
                            "--run-dir",
                            folder / "run",
                            "--epochs",
                            "1",
                            "--batch-size",
                            "7",
                            "--landmark-epochs",
                            "1",
                            "--landmark-identities",
                            "2",
                            "--landmark-batch-size",
                            "7",
                            "--validation",
                            "0",
                            "--test-identities",
                            "1",
                            "--json"});
  REQUIRE_MESSAGE(train.code == 0, train.err);
  CHECK(nlohmann::json::parse(train.out)["best"]["samples"] == 7);
}

TEST_CASE("train, eval, predict and convert work on each other's files") {
  const Folder folder("chain");
  auto arguments = app_test::short_training(folder / "run");
  arguments.insert(arguments.end(), {"--max-steps", "2"});
  const Result train = run(arguments);
  REQUIRE_MESSAGE(train.code == 0, train.err);
  CHECK(contains(train.out, "accuracy on test: "));
  CHECK(contains(train.out, " with the weights of the best epoch (1, chosen on the validation split), "));
  auto unvalidated = app_test::short_training(folder / "unvalidated");
  unvalidated.insert(unvalidated.end(), {"--max-steps", "2", "--validation", "0"});
  CHECK(contains(run(unvalidated).out,
                 " with the weights of the last epoch (1); there is no validation split to choose one by\n"));
  const std::string weights = folder / "run/best.safetensors";
  const Result eval = run({"eval", "--weights", weights, "--json"});
  REQUIRE_MESSAGE(eval.code == 0, eval.err);
  CHECK(nlohmann::json::parse(eval.out)["samples"] == 14);

  REQUIRE(run({"faces", "--sheet", folder / "face.png", "--identities", "1", "--per-identity", "1"}).code ==
          0);
  const Result predict = run({"predict", "--weights", weights, folder / "face.png", "--json"});
  REQUIRE_MESSAGE(predict.code == 0, predict.err);
  const auto prediction = nlohmann::json::parse(predict.out)[0];
  double sum = 0;
  for (const auto& p : prediction["faces"][0]["probabilities"]) sum += p.get<double>();
  CHECK(sum == doctest::Approx(1).epsilon(1e-5));

  REQUIRE(run({"convert", weights, folder / "weights.pth"}).code == 0);
  REQUIRE(run({"convert", folder / "weights.pth", folder / "again.safetensors"}).code == 0);
  const Result again =
      run({"predict", "--weights", folder / "again.safetensors", folder / "face.png", "--json"});
  CHECK(again.out == predict.out);
}

TEST_CASE("damaged and missing input: a clear message, exit code 1, nothing lost") {
  const Folder folder("bad");
  CHECK(contains(run({"train", "--dataset", "rafdb", "--data", "/nowhere", "--run-dir", folder / "r"}).err,
                 "data set 'rafdb': the folder '/nowhere' does not exist"));
  CHECK(run({"eval", "--weights", folder / "none.safetensors"}).code == 1);
  std::ofstream(folder / "text.safetensors") << "this is no weight file";
  const Result text = run({"eval", "--weights", folder / "text.safetensors"});
  CHECK(text.code == 1);
  CHECK(contains(text.err, "is neither safetensors nor a PyTorch checkpoint"));
  CHECK(contains(run({"train", "--resume", folder / "none"}).err, "it holds no config.json"));
  std::ofstream(folder / "broken.json") << "{\"training\": {\"epcohs\": 1}}";
  const Result config = run({"train", "--config", folder / "broken.json"});
  CHECK(config.code == 2);
  CHECK(contains(config.err, "unknown key 'epcohs'; did you mean 'epochs'?"));
}

TEST_CASE("gradcheck runs a choice of cases") {
  const Result result = run({"gradcheck", "--only", "prelu", "--json"});
  REQUIRE(result.code == 0);
  for (const auto& c : nlohmann::json::parse(result.out)["cases"]) CHECK(c["ok"] == true);
  CHECK(run({"gradcheck", "--only", "no such case"}).code == 2);
}

TEST_CASE("bench prints figures as JSON") {
  const Result ops = run(
      {"bench", "ops", "--preset", "small", "--batch", "2", "--only", "adam", "--seconds", "0.01", "--json"});
  REQUIRE_MESSAGE(ops.code == 0, ops.err);
  const auto json = nlohmann::json::parse(ops.out);
  CHECK(json["peak_gflops"] > 0);
  CHECK(json["measurements"].size() == 1);
  CHECK(json["crowded"] == contains(ops.err, "keep this machine's cores busy"));
  CHECK(json["measurements"][0]["ms"] > 0);
  const Result train =
      run({"bench", "train", "--preset", "tiny", "--batch", "2", "--seconds", "0.01", "--json"});
  REQUIRE_MESSAGE(train.code == 0, train.err);
  CHECK(nlohmann::json::parse(train.out)["measurements"][0]["peak_memory_bytes"] > 0);
  CHECK(run({"bench", "ops", "--only", "no such operation"}).code == 2);
}

TEST_CASE("train --profile writes a trace") {
  const Folder folder("profile");
  auto arguments = app_test::short_training(folder / "run");
  arguments.insert(arguments.end(),
                   {"--max-steps", "5", "--profile", folder / "trace.json", "--profile-steps", "2"});
  const Result train = run(arguments);
  REQUIRE_MESSAGE(train.code == 0, train.err);
  CHECK(contains(train.err, "where the time of 2 steps went"));
  const auto trace = nlohmann::json::parse(app_test::read_all(folder / "trace.json"));
  CHECK(trace["traceEvents"].size() > 100);
}

TEST_CASE("train --profile: fewer steps than asked for, none at all, and a file that cannot be written") {
  const Folder folder("short_profile");
  const auto profiled = [&folder](const std::string& name, const std::string& steps,
                                  const std::string& trace) {
    auto arguments = app_test::short_training(folder / name);
    arguments.insert(arguments.end(), {"--max-steps", steps, "--profile", trace, "--profile-steps", "2"});
    return run(arguments);
  };
  const Result one = profiled("one", "3", folder / "one.json");
  REQUIRE_MESSAGE(one.code == 0, one.err);
  CHECK(contains(one.err, "\nwhere the time of 1 step went:\n"));
  // The evaluation after the step has its own softmax, which belongs to no step. The one that remains is the
  // class token's.
  const auto trace = nlohmann::json::parse(app_test::read_all(folder / "one.json"));
  const auto count = [&trace](const char* name) {
    return std::ranges::count_if(trace["traceEvents"], [name](const nlohmann::json& event) {
      return event["name"] == name && event.value("cat", "") == "forward";
    });
  };
  CHECK(count("cross_entropy") == 1);
  CHECK(count("softmax") == 1);
  const Result none = profiled("none", "2", folder / "none.json");
  CHECK(none.code == 0);
  CHECK(contains(none.err, "no profile: the training did 2 steps, and the first 2 are left out\n"));
  CHECK_FALSE(app_test::fs::exists(folder / "none.json"));
  const Result closed = profiled("closed", "7", folder / "nowhere/trace.json");
  CHECK(closed.code == 1);
  CHECK(closed.err ==
        "fer: cannot write '" + (folder / "nowhere/trace.json") + "': No such file or directory\n");
  CHECK_FALSE(app_test::fs::exists(folder / "closed"));
}
