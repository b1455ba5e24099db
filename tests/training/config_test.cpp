// Configuration: every field survives conversion to JSON and back, and messages name exactly what is wrong.
#include "fer/training/config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "fer/error.h"
#include "tests/paths.h"

namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const fer::ConfigError& error) {
    return error.what();
  }
  return "no ConfigError";
}

std::string json_message(const std::string& text) {
  return message_of([&] {
    fer::RunConfig config;
    fer::apply_json(config, text, "run.json");
  });
}

std::string setting_message(const std::string& key, const std::string& value) {
  return message_of([&] {
    fer::RunConfig config;
    fer::apply_setting(config, key, value, "command line");
  });
}

}  // namespace

TEST_CASE("a configuration survives JSON") {
  fer::RunConfig config;
  config.preset = "tiny";
  config.model = fer::preset("tiny", 8);
  config.training.lr = 3.5e-5;
  config.training.seed = 18446744073709551615ull;
  config.model.fernet().attention.heatmap = fer::Heatmap::conv;
  config.model.fernet().image.units = {3, 4, 14};
  config.data.folder = "a \"quoted\" folder";
  fer::RunConfig read;
  fer::apply_json(read, fer::to_json(config), "x");
  CHECK(fer::to_json(read) == fer::to_json(config));
  CHECK(read.model == config.model);
  CHECK(read.training.seed == config.training.seed);
}

TEST_CASE("the recipes that come with the program are valid") {
  int recipes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fer::test::source_folder() / "recipes")) {
    CAPTURE(entry.path().string());
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    fer::RunConfig config;
    CHECK_NOTHROW(fer::apply_json(config, text, entry.path().string()));
    CHECK_NOTHROW(fer::check(config));
    ++recipes;
  }
  CHECK(recipes >= 2);
}

TEST_CASE("the image backbone learns points where no checkpoint is given, or as often as is asked") {
  fer::RunConfig config;
  config.landmarks.epochs = 3;
  CHECK(fer::image_epochs(config) == 3);
  config.landmarks.file = "landmarks.pth";
  CHECK(fer::image_epochs(config) == 0);
  config.landmarks.image_epochs = 2;
  CHECK(fer::image_epochs(config) == 2);
  config.training.image_backbone = "ir50.pth";
  CHECK(message_of([&] { fer::check(config); }) ==
        "'image_epochs' would overwrite the weights of 'image_backbone'; give one of the two");
  config.landmarks.image_epochs = -1;
  CHECK(fer::image_epochs(config) == 0);
}

TEST_CASE("settings given as text reach fields of every kind") {
  fer::RunConfig config;
  fer::apply_setting(config, "preset", "paper", "x");
  fer::apply_setting(config, "lr", "1e-6", "x");
  fer::apply_setting(config, "epochs", "7", "x");
  fer::apply_setting(config, "balanced", "true", "x");
  fer::apply_setting(config, "widths", "8,16,32", "x");
  fer::apply_setting(config, "units", "[1, 1, 1]", "x");
  fer::apply_setting(config, "heatmap", "sum", "x");
  fer::apply_setting(config, "data", "some folder", "x");
  CHECK(config.model.fernet().attention.dim == 768);
  CHECK(config.training.lr == 1e-6);
  CHECK(config.training.epochs == 7);
  CHECK(config.training.balanced);
  CHECK(config.model.fernet().image.widths == std::vector<std::int64_t>{8, 16, 32});
  CHECK(config.model.fernet().image.units == std::vector<std::int64_t>{1, 1, 1});
  CHECK(config.model.fernet().attention.heatmap == fer::Heatmap::sum);
  CHECK(config.data.folder == "some folder");
}

TEST_CASE("no key is in two sections, so that a flag means one field") {
  std::vector<std::string> keys;
  for (const fer::SettingInfo& info : fer::settings_of(fer::RunConfig{})) {
    CHECK_MESSAGE(std::find(keys.begin(), keys.end(), info.key) == keys.end(), info.key);
    CHECK(!info.help.empty());
    keys.push_back(info.key);
  }
}

TEST_CASE("errors name the source, the key and the nearest known one") {
  CHECK(json_message(R"({"training": {"epoch": 3}})") ==
        "run.json: in 'training': unknown key 'epoch'; did you mean 'epochs'?");
  CHECK(json_message(R"({"trainin": {}})") == "run.json: unknown key 'trainin'; did you mean 'training'?");
  CHECK(json_message(R"({"zzzzzzzzz": {}})") == "run.json: unknown key 'zzzzzzzzz'");
  CHECK(json_message(R"({"training": 3})") == "run.json: 'training' must be an object of settings");
  CHECK(json_message(R"({"training": {"epochs": "three"}})") ==
        "run.json: 'training.epochs' must be a whole number, got \"three\"");
  CHECK(json_message(R"({"training": {"seed": -1}})") ==
        "run.json: 'training.seed' must be a whole number, not negative, got -1");
  CHECK(json_message(R"({"model": {"units": [1, 2.5]}})") ==
        "run.json: 'model.units' must be a list of whole numbers, got [1,2.5]");
  CHECK(json_message("[]") == "run.json: a configuration is a JSON object");
  CHECK(json_message("{").rfind("run.json: not JSON: ", 0) == 0);
  CHECK(setting_message("batchsize", "3") ==
        "command line: unknown key 'batchsize'; did you mean 'batch_size'?");
  CHECK(setting_message("lr", "fast") == "command line: 'lr' must be a number, got 'fast'");
  CHECK(setting_message("flip", "true") == "command line: 'flip' must be a number, got true");
}

TEST_CASE("values out of range are named") {
  const auto check_message = [](const std::string& key, const std::string& value) {
    return message_of([&] {
      fer::RunConfig config;
      fer::apply_setting(config, key, value, "x");
      fer::check(config);
    });
  };
  CHECK(check_message("epochs", "0") == "'epochs' must be positive, got 0");
  CHECK(check_message("lr", "-1") == "'lr' must be positive, got -1");
  CHECK(check_message("label_smoothing", "1") == "'label_smoothing' must be in [0, 1), got 1");
  CHECK(check_message("landmark_epochs", "-1") == "'landmark_epochs' must not be negative, got -1");
  CHECK(check_message("warmup_epochs", "-1") == "'warmup_epochs' must not be negative, got -1");
  CHECK(check_message("gamma", "2") == "'gamma' must be in (0, 1], got 2");
  CHECK(check_message("optimizer", "adan") ==
        "x: 'optimizer' must be one of adam, adamw, sgd; got 'adan'; did you mean 'adam'?");
  CHECK(check_message("heatmap", "abssum") ==
        "x: 'heatmap' must be one of max, sum, abs_sum, conv; got 'abssum'; did you mean 'abs_sum'?");
  CHECK(check_message("loader_threads", "65") == "'loader_threads' must be 0 to 64, got 65");
}
