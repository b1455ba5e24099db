// Files cannot make the program use unbounded memory or time. All tests run with 2 GiB of address space.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "app/program.h"
#include "fer/formats/safetensors.h"
#include "fer/formats/state_dict.h"

using app_test::Background;
using app_test::Folder;
using app_test::Result;
namespace fs = app_test::fs;

namespace {

constexpr std::size_t two_gibibytes = std::size_t{2} << 30;

Result run_small(const std::vector<std::string>& arguments) {
  return app_test::run(arguments, 0, {.memory_bytes = two_gibibytes});
}

void check_error(const Result& result, const std::string& message, int code) {
  CHECK(result.err == "fer: " + message + "\n");
  CHECK(result.code == code);
  CHECK(result.out.empty());
}

std::string write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

/// A network from two short epochs, made once.
const Folder& trained_run() {
  static const Folder folder("bounds_run");
  if (!fs::exists(folder / "run")) {
    const Result result = app_test::run(app_test::short_training(folder / "run"));
    REQUIRE_MESSAGE(result.code == 0, result.err);
  }
  return folder;
}

fer::StateFile trained_weights() {
  return fer::read_state_file(trained_run() / "run/best.safetensors");
}

std::string repeated(const std::string& text, int count) {
  std::string made;
  made.reserve(text.size() * static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) made += text;
  return made;
}

std::string pipe_at(const std::string& path) {
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  return path;
}

}  // namespace

TEST_CASE("bounds: a configuration that asks for more than the file's tensors fill") {
  const Folder folder("larger");
  const fer::StateFile file = trained_weights();
  const auto config = nlohmann::ordered_json::parse(file.metadata.at("config"));
  const std::string path = folder / "x.safetensors";
  const auto result_of = [&](const nlohmann::ordered_json& changes, const fer::StateDict& tensors) {
    auto changed = config;
    for (const auto& [key, value] : changes.items()) changed["model"][key] = value;
    fer::Metadata metadata = file.metadata;
    metadata["config"] = changed.dump();
    metadata.erase("input");
    fer::save_state_dict(path, tensors, metadata);
    return run_small({"eval", "--weights", path});
  };
  const auto values = std::to_string(file.tensors.element_count());
  const std::string larger =
      "fer: " + path + ": its sizes are of a larger network than its " + values + " values fill; a '";
  for (const char* changes :
       {R"({"dim": 20000})", R"({"depth": 1000})", R"({"mlp_ratio": 64, "dim": 960})",
        R"({"units": [1000, 1000, 1000]})", R"({"widths": [65536, 65536, 65536]})", R"({"stem": 65536})",
        R"({"lm_width": 65536})", R"({"lm_units": [1000, 1000, 1000]})", R"({"lm_outputs": 65536})",
        R"({"heatmap": "conv", "lm_width": 4096})",
        R"({"pos_embed": true, "image_size": 512, "dim": 480})"}) {
    CAPTURE(changes);
    const Result result = result_of(nlohmann::ordered_json::parse(changes), file.tensors);
    CHECK_MESSAGE(result.err.starts_with(larger), result.err);
    CHECK(result.code == 1);
  }
  fer::StateDict one;
  one.insert("w", fer::Tensor::zeros({1}));
  const Result result = result_of({{"dim", 20000}, {"heads", 1}}, one);
  const std::string single =
      "fer: " + path + ": its sizes are of a larger network than its 1 value fills; a '";
  CHECK_MESSAGE(result.err.starts_with(single), result.err);
  CHECK(result.code == 1);
  const auto refused = [&](const nlohmann::ordered_json& changes, const std::string& message) {
    check_error(result_of(changes, file.tensors), path + ": its configuration: " + message, 2);
  };
  refused({{"dim", 100000}}, "dim must be at most 65536, got 100000");
  refused({{"depth", 1000000000000}}, "depth must be at most 1000, got 1000000000000");
  refused({{"image_size", 100000}}, "image_size must be at most 512, got 100000");
  refused({{"strides", {4611686018427387904, 4, 2}}}, "strides must be at most 8, got 4611686018427387904");
}

TEST_CASE("bounds: JSON that is deep, wide, out of range or not UTF-8") {
  const Folder folder("json");
  const std::string path = folder / "run.json";
  const auto refused = [&](const std::string& text, const std::string& message) {
    write(path, text);
    check_error(run_small({"train", "--config", path, "--run-dir", folder / "run"}), path + ": " + message,
                2);
    CHECK(!fs::exists(folder / "run"));
  };
  refused(R"({"preset":"tiny","training":{"lr":1e400}})", "'training.lr' is out of range: 1e400");
  refused(R"({"training":{"epochs":9223372036854775808}})",
          "'training.epochs' is out of range: 9223372036854775808");
  refused(R"({"training":{"epochs":1000000000000000000000}})",
          "'training.epochs' is out of range: 1000000000000000000000");
  refused(R"({"model":{"units":[1,18446744073709551615,1]}})",
          "'model.units' is out of range: [1,18446744073709551615,1]");
  refused(R"({"training":{"lr":1,"lr":2}})", "'training.lr' occurs twice");
  refused(R"({"training":{"epochs":-1}})", "'epochs' must be positive, got -1");
  refused(R"({"model":{"dim":100000}})", "dim must be at most 65536, got 100000");
  refused("{\"data\":{\"data\":\"caf\xe9\"}}", "'data.data' is not UTF-8");
  refused(R"({"training":{"lr":NaN}})", "'training.lr' is NaN, which is not JSON");
  refused(repeated("[", 5'000'000), "is nested more than 64 levels deep");
  refused(repeated("{\"a\":", 5'000'000), "is nested more than 64 levels deep");
  refused("[" + repeated("0,", 20'000'000) + "0]", "holds more than 10000000 values");
  std::string wide = "{\"preset\":\"tiny\"";
  for (int i = 0; i < 1'000'000; ++i) wide += ",\"k" + std::to_string(i) + "\":0";
  refused(wide + "}", "the value has more than 10000 keys");

  const fer::StateFile file = trained_weights();
  fer::Metadata metadata = file.metadata;
  metadata["config"] = R"({"training":{"lr":1e400}})";
  const std::string weights = folder / "x.safetensors";
  fer::save_state_dict(weights, file.tensors, metadata);
  check_error(run_small({"eval", "--weights", weights}), weights + ": 'training.lr' is out of range: 1e400",
              2);
  metadata["config"] = repeated("[", 5'000'000);
  fer::save_state_dict(weights, file.tensors, metadata);
  check_error(run_small({"eval", "--weights", weights}), weights + ": is nested more than 64 levels deep", 2);
}

TEST_CASE("bounds: a flipped bit in weights and in a checkpoint") {
  const Folder folder("flipped");
  const std::string weights =
      write(folder / "x.safetensors", app_test::read_all(trained_run() / "run/best.safetensors"));
  const auto flip_last_byte = [](const std::string& path) {
    std::string bytes = app_test::read_all(path);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    write(path, bytes);
  };
  const auto last_tensor = [](const std::string& path) {
    const fer::SafetensorsFile file(path);
    const auto& entries = file.entries();
    return std::max_element(entries.begin(), entries.end(),
                            [](const auto& a, const auto& b) { return a.end < b.end; })
        ->name;
  };
  const std::string damage = "' is damaged: its checksum does not match ('crc32' in the metadata)";
  const std::string tensor = last_tensor(weights);
  flip_last_byte(weights);
  check_error(run_small({"eval", "--weights", weights}), weights + ": tensor '" + tensor + damage, 1);

  fs::copy(trained_run() / "run", folder / "run", fs::copy_options::recursive);
  const std::string last = folder / "run/last.safetensors", state = last_tensor(last);
  flip_last_byte(last);
  const Result resumed = run_small({"train", "--resume", folder / "run", "--quiet"});
  CHECK(resumed.code == 1);
  CHECK_MESSAGE(resumed.err.ends_with("fer: " + last + ": tensor '" + state + damage + "\n"), resumed.err);
}

TEST_CASE("bounds: a resume without a file that it needs does no work") {
  const Folder folder("missing");
  fs::copy(trained_run() / "run", folder / "run", fs::copy_options::recursive);
  const auto refused = [&](const std::string& file, const std::string& why) {
    fs::rename(folder / ("run/" + file), folder / file);
    const Result result = run_small({"train", "--resume", folder / "run", "--quiet"});
    CHECK(result.code == 1);
    CHECK_MESSAGE(result.err.starts_with("fer: cannot resume '" + (folder / "run") + "': its " + file +
                                         " is missing, " + why),
                  result.err);
    CHECK_MESSAGE(result.err.ends_with("; copy it back, or start another run\n"), result.err);
    fs::rename(folder / file, folder / ("run/" + file));
  };
  refused("best.safetensors", "the weights of its best epoch (");
  refused("last.safetensors", "and metrics.jsonl goes to epoch 2, step ");
}

TEST_CASE("bounds: pipes are refused where a file is needed, and end with one Ctrl-C where they are read") {
  const Folder folder("pipes");
  const std::string weights = trained_run() / "run/best.safetensors";
  const std::string pipe = pipe_at(folder / "pipe");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"eval", "--weights", pipe}, {"convert", pipe, "--list"}}) {
    check_error(run_small(command), "cannot read '" + pipe + "': it is a pipe, not a file", 1);
  }
  fs::create_directory(folder / "data");
  const std::string table = pipe_at(folder / "data/fer2013.csv");
  const Result data =
      run_small({"train", "--dataset", "fer2013", "--data", folder / "data", "--run-dir", folder / "run"});
  CHECK(data.code == 1);
  CHECK_MESSAGE(data.err.find("cannot read '" + table + "': it is a pipe, not a file") != std::string::npos,
                data.err);

  const std::string picture = pipe_at(folder / "picture.png");
  Background predict({"predict", "--weights", weights, picture});
  ::usleep(1'500'000);
  predict.send(SIGINT);
  const Result stopped = predict.wait();
  CHECK(stopped.code == 130);
  CHECK_MESSAGE(stopped.err.find("cannot read '" + picture +
                                 "': stopped while waiting for data from this pipe") != std::string::npos,
                stopped.err);

  Background configured({"train", "--config", pipe, "--run-dir", folder / "run"});
  ::usleep(500'000);
  configured.send(SIGINT);
  const int code = configured.wait().code;
  CHECK_MESSAGE((code == 130 || code == -SIGINT), code);
  CHECK(!fs::exists(folder / "run"));
}

TEST_CASE("bounds: a configuration that comes through a pipe is read") {
  const Folder folder("through");
  const std::string pipe = pipe_at(folder / "pipe");
  Background train({"train", "--config", pipe, "--run-dir", folder / "run"});
  std::ofstream(pipe) << R"({"training": {"lr": -1}})";
  check_error(train.wait(), pipe + ": 'lr' must be positive, got -1", 2);
}

TEST_CASE("bounds: a file that reaches its limit leaves nothing behind") {
  const Folder folder("limit");
  const std::string weights = trained_run() / "run/best.safetensors";
  app_test::Limits full;
  full.file_bytes = fs::file_size(weights) / 2;
  for (const char* name : {"x.pth", "x.safetensors", "x.onnx"}) {
    const Result result = app_test::run({"convert", weights, folder / name}, 0, full);
    CHECK(result.code == 1);
    CHECK(result.err == "fer: cannot write '" + (folder / name) + "': File too large\n");
    CHECK(fs::is_empty(folder.path));
  }
}

TEST_CASE("bounds: threads that cannot be started") {
  app_test::Limits limits;
  limits.no_threads = true;
  check_error(app_test::run({"info", "--preset", "tiny"}, 0, limits),
              "cannot start 3 threads beside the first: Resource temporarily unavailable; ask for fewer with "
              "OMP_NUM_THREADS, or raise the limits of processes (ulimit -u) and of memory (ulimit -v)",
              1);
}
