// Devices on the command line: which are available, which are missing and why, and the flags for graphs and
// libraries.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "app/program.h"
#include "fer/tensor/backend.h"

using namespace app_test;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("--version lists the devices, and why one is missing") {
  const Result version = run({"--version"});
  CHECK(version.code == 0);
  for (const char* line : {"  cpu: ", "  simt: ", "  cuda: ", "  --math library: "})
    CHECK(contains(version.out, line));
  if (!fer::is_available(fer::Device::cuda))
    CHECK(contains(version.out, "  cuda: not available: device cuda: "));
}

TEST_CASE("the error for a missing device says why it is missing") {
  const std::vector<std::string> bench{"bench", "model", "--preset", "tiny", "--batch", "1"};
  const auto on = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), bench.begin(), bench.end());
    return run(flags);
  };
  if (!fer::is_available(fer::Device::cuda)) {
    const Result cuda = on({"--device", "cuda"});
    CHECK(cuda.code == 1);
    CHECK(contains(cuda.err, "fer: device cuda: "));
    CHECK(contains(cuda.err, "(--device simt runs the same kernels on the CPU)"));
    CHECK(on({"--device", "cuda:1"}).code == 1);
  }
  for (const char* text : {"simt:1", "cuda:", "cuda:x", "cuda:-1"}) {
    const Result wrong = on({"--device", text});
    CHECK(wrong.code == 2);
    CHECK(contains(wrong.err, std::string("unknown device '") + text + "'; only cuda may have a number"));
  }
  const Result library = on({"--math", "library"});
  CHECK(library.code == 1);
  CHECK(contains(library.err, "device cpu multiplies by itself (--math native)"));
  CHECK(on({"--math", "mkl"}).code == 2);
  const Result graph = on({"--graph"});
  CHECK(graph.code == 1);
  CHECK(contains(graph.err, "device cpu computes at once and has no queue to capture"));
}

TEST_CASE("bench replays graphs") {
  if (!fer::is_available(fer::Device::simt)) return;
  for (const char* what : {"model", "train"}) {
    const Result result = run({"bench", what, "--preset", "tiny", "--batch", "2", "--device", "simt",
                               "--graph", "--seconds", "0.01", "--json"});
    REQUIRE(result.code == 0);
    const auto json = nlohmann::json::parse(result.out);
    CHECK(contains(json["measurements"][0]["name"], ", replayed"));
    CHECK(json["measurements"][0]["ms"] > 0);
  }
}

}  // namespace
