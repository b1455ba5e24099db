// Every file in the folder of golden files is one that some test reads.
#include <doctest/doctest.h>

#include <string>

#include "tests/golden/golden.h"

namespace fer::test {
namespace {

TEST_CASE("golden: every file in the folder is known") {
  bool has_ops = false;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder())) {
    const GoldenFile kind = kind_of(entry.path());
    CHECK_MESSAGE(kind != GoldenFile::unknown, entry.path().filename().string(), " is read by no test");
    has_ops |= kind == GoldenFile::ops;
  }
  CHECK_MESSAGE(has_ops, "ops.safetensors is missing");
}

TEST_CASE("golden: an unknown file is told from a known one") {
  CHECK(kind_of("ops.safetensors") == GoldenFile::ops);
  CHECK(kind_of("model_tiny_extras.safetensors") == GoldenFile::model);
  CHECK(kind_of("checkpoint_dataparallel.pth.tar") == GoldenFile::checkpoint);
  CHECK(kind_of("landmarks_real.safetensors") == GoldenFile::landmarks);
  for (const char* name :
       {"ops2.safetensors", "model_tiny.npz", "checkpoint_zip.onnx", "landmarks.safetensors", "notes"}) {
    CHECK(kind_of(name) == GoldenFile::unknown);
  }
}

}  // namespace
}  // namespace fer::test
