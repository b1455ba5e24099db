// Finds the golden files: in tests/data/golden, and in one optional folder, $FER_GOLDEN_DIR or by default
// ../shared/golden beside the source tree. The tests take their cases from the files that they find, so more
// cases can be added without changing a test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/paths.h"

namespace fer::test {

/// The folder of this repository.
inline std::filesystem::path own_golden_folder() {
  return source_folder() / "tests" / "data" / "golden";
}

/// The optional folder.
inline std::filesystem::path other_golden_folder() {
  return reference_folder("FER_GOLDEN_DIR", "golden");
}

/// The folders that exist, the repository's own first.
inline std::vector<std::filesystem::path> golden_folders() {
  std::vector<std::filesystem::path> folders{own_golden_folder()};
  if (std::filesystem::is_directory(other_golden_folder())) folders.push_back(other_golden_folder());
  return folders;
}

/// The kind of a file in such a folder.
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

/// The files of one kind in a folder, by name.
inline std::vector<std::filesystem::path> files_of(GoldenFile kind, const std::filesystem::path& folder) {
  std::set<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (kind_of(entry.path()) == kind) found.insert(entry.path());
  }
  return {found.begin(), found.end()};
}

inline std::vector<std::filesystem::path> files_of(GoldenFile kind) {
  std::vector<std::filesystem::path> found;
  for (const std::filesystem::path& folder : golden_folders()) {
    for (const std::filesystem::path& file : files_of(kind, folder)) found.push_back(file);
  }
  return found;
}

/// "model_tiny.safetensors", or "other/model_tiny.safetensors" if it is not the repository's.
inline std::string title_of(const std::filesystem::path& file) {
  const bool own = file.parent_path() == own_golden_folder();
  return (own ? "" : "other/") + file.filename().string();
}

}  // namespace fer::test
