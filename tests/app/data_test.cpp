// fer data check, and training on realistic folders: held-out parts, damaged pictures.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/app/program.h"

namespace {

using namespace app_test;

/// Drawn faces in class folders, without part folders above them.
Folder drawn_folder(const std::string& name, const std::string& below = "data") {
  Folder folder(name);
  const Result drawn = run({"faces", "--out", folder / below, "--identities", "6", "--size", "32"});
  REQUIRE(drawn.code == 0);
  return folder;
}

void write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::vector<std::string> training(const Folder& folder, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = short_training(folder / "run");
  for (const std::string& argument :
       {std::string("--dataset"), std::string("folder"), std::string("--data"), folder / "data",
        std::string("--landmark-identities"), std::string("4"), std::string("--epochs"), std::string("1")})
    arguments.push_back(argument);
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST_CASE("train: on class folders alone, with parts held out by seed") {
  const Folder folder = drawn_folder("held_out");
  const Result trained = run(training(folder));
  REQUIRE(trained.code == 0);
  CHECK(trained.err.find(
            "folder, test: it has no test part of its own; 20 % of its pictures, class by class by seed "
            "1, are held out for one") != std::string::npos);
  CHECK(trained.err.find("data: 28 samples to train on, 7 to choose the epoch by, 7 to test on (test); 7 "
                         "classes") != std::string::npos);
  const Result evaluated = run({"eval", "--weights", folder / "run"});
  CHECK(evaluated.code == 0);
  CHECK(evaluated.out.find("7 samples") != std::string::npos);
}

TEST_CASE("train: damaged pictures are named before any work is done, and left out with --skip-bad") {
  const Folder folder = drawn_folder("damaged");
  const std::string bad = folder / "data/happiness/bad.jpg";
  write(bad, "no picture");
  const Result refused = run(training(folder));
  CHECK(refused.code == 1);
  CHECK(refused.err.find("pictures cannot be read:\n  '" + bad + "'") != std::string::npos);
  CHECK(refused.err.find("\n--skip-bad 1 leaves them out\n") != std::string::npos);
  CHECK(!fs::exists(folder / "run"));
  const Result trained = run(training(folder, {"--skip-bad", "1"}));
  CHECK(trained.code == 0);
  CHECK(trained.err.find(": left out: '" + bad + "'") != std::string::npos);

  // A measure names all of them, too, before it begins.
  write(folder / "data/sadness/bad.png", "");
  const std::vector<std::string> whole{"eval",   "--weights", folder / "run", "--split", "train",
                                       "--test", "0",         "--validation", "0",       "--skip-bad"};
  const auto skipping = [&](const char* count) {
    std::vector<std::string> arguments = whole;
    arguments.push_back(count);
    return run(arguments);
  };
  const Result named = skipping("0");
  CHECK(named.code == 1);
  CHECK(named.out.empty());
  CHECK(named.err ==
        "fer: data set 'folder', train: 2 of 44 pictures cannot be read:\n  '" + bad +
            "' is not a picture that fer reads: it does not start with the signature of one\n  '" +
            (folder / "data/sadness/bad.png") +
            "' is not a picture that fer reads: the file is empty\n--skip-bad 2 leaves them out\n");
  const Result measured = skipping("2");
  CHECK(measured.code == 0);
  CHECK(measured.out.find("42 samples of folder (train), labels: class folders\n") != std::string::npos);
}

TEST_CASE("data check: text, JSON and exit codes") {
  const Folder folder = drawn_folder("check");
  const Result sound = run({"data", "check", "--dataset", "folder", "--data", folder / "data"});
  CHECK(sound.code == 0);
  CHECK(sound.out.starts_with("folder in " + (folder / "data") + "\n\ntrain: 28 pictures\n"));
  CHECK(sound.out.find("exact duplicates (the same pixels): none\n") != std::string::npos);
  write(folder / "data/anger/bad.png", "no picture");
  const Result damaged = run({"data", "check", "--dataset", "folder", "--data", folder / "data", "--json"});
  CHECK(damaged.code == 1);
  const auto json = nlohmann::json::parse(damaged.out);
  CHECK(json["version"] == 1);
  CHECK(json["sound"] == false);
  const Result missing = run({"data", "check", "--dataset", "folder", "--data", folder / "nothing"});
  CHECK(missing.code == 1);
  CHECK(missing.out.find("train: cannot be opened: data set 'folder': the folder '" + (folder / "nothing") +
                         "' does not exist\n") != std::string::npos);
  const Result wrong = run({"data", "check", "--dataset", "foldr"});
  CHECK(wrong.code == 2);
}

}  // namespace
