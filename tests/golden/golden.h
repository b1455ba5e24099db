// The folder of golden files: $FER_GOLDEN_DIR, or else ../shared/golden beside the source tree. What a test
// checks comes from the files found there, so that another folder of cases can be tried unchanged.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "tests/paths.h"

namespace fer::test {

/// Null unless the caller named a folder.
inline const char* golden_folder_asked_for() {
  const char* folder = std::getenv("FER_GOLDEN_DIR");
  return folder && *folder ? folder : nullptr;
}

inline std::filesystem::path golden_folder() {
  return reference_folder("FER_GOLDEN_DIR", "golden");
}

/// What a file of the folder is for.
enum class GoldenFile { ops, model, checkpoint, landmarks, documentation, unknown };

inline GoldenFile kind_of(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  const auto starts = [&](std::string_view prefix) { return name.rfind(prefix, 0) == 0; };
  if (name == "ops.safetensors") return GoldenFile::ops;
  if (name == "landmarks_real.safetensors") return GoldenFile::landmarks;
  if (starts("model_") && file.extension() == ".safetensors") return GoldenFile::model;
  if (starts("checkpoint_") && (file.extension() == ".pth" || name.ends_with(".pth.tar"))) {
    return GoldenFile::checkpoint;
  }
  if (name == "README.md" || name == "make_golden.py" || name == "reference.py" || name == "__pycache__") {
    return GoldenFile::documentation;
  }
  return GoldenFile::unknown;
}

}  // namespace fer::test
