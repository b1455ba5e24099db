// Checks that some test reads every file in the golden folders, and that none of the repository's is missing.
#include <doctest/doctest.h>

#include "tests/golden/golden.h"

namespace fer::test {
namespace {

TEST_CASE("golden: every file in the folders is known") {
  for (const std::filesystem::path& folder : golden_folders()) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      CHECK_MESSAGE(kind_of(entry.path()) != GoldenFile::unknown, entry.path().string(),
                    " is read by no test");
    }
    CHECK_MESSAGE(files_of(GoldenFile::ops, folder).size() == 1, folder.string(), " has no ops.safetensors");
  }
}

TEST_CASE("golden: the repository's own files are complete, and small") {
  std::set<std::string> names;
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(own_golden_folder())) {
    names.insert(entry.path().filename().string());
    bytes += entry.file_size();
  }
  const std::set<std::string> expected{"README.md",
                                       "checkpoint_dataparallel.pth.tar",
                                       "checkpoint_legacy.pth",
                                       "checkpoint_zip.pth",
                                       "model_mini.safetensors",
                                       "model_paper.safetensors",
                                       "model_small.safetensors",
                                       "model_tiny.safetensors",
                                       "model_tiny_abs_sum.safetensors",
                                       "model_tiny_extras.safetensors",
                                       "model_tiny_no_cross.safetensors",
                                       "model_tiny_no_product.safetensors",
                                       "model_tiny_sum.safetensors",
                                       "ops.safetensors"};
  CHECK(names == expected);
  CHECK(bytes < 4'000'000);
}

TEST_CASE("golden: a file's name tells its kind") {
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
