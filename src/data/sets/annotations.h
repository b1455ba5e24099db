// Lists of pictures and labels: text files with lines "path label", and csv files with a header.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/sets/dataset_parts.h"

namespace fer::detail {

/// The range of labels and, if lists may use words, the lower-case names of low, low + 1, ...
struct LabelRange {
  std::int64_t low, high;
  std::vector<std::string> names{};
};

/// One picture of a list.
struct Annotation {
  std::string name, where;  ///< the picture's name as written; file and line
  std::int64_t label = -1;
  std::optional<Split> part{};  ///< if a column gives it
  std::optional<FaceBox> box{};
  std::optional<float> arousal{};
};

/// DataError, naming file and line, unless each line is a name and a label.
std::vector<Annotation> read_annotations(const std::filesystem::path& path, const LabelRange& range);

/// A csv file with a column of pictures (subDirectory_filePath, pth, path, image, ...), a column of labels
/// (expression, label, emotion, ...), and optionally arousal, the part, and the face's box (face_x, face_y,
/// face_width, face_height). `header` is the default for files without a header; "" if the file must have
/// one. DataError, naming file and line, for invalid contents.
std::vector<Annotation> read_csv_annotations(const std::filesystem::path& path, const LabelRange& range,
                                             const std::string& header = "");

}  // namespace fer::detail
