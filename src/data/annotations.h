// Lists of pictures and labels: texts of lines "path label", and csv files whose header says what is where.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/dataset_parts.h"

namespace fer::detail {

/// Labels from low to high and, where lists may have words, the names of low, low + 1, ... in lower case.
struct LabelRange {
  std::int64_t low, high;
  std::vector<std::string> names{};
};

/// One picture of a list.
struct Annotation {
  std::string name, where;  ///< the picture as it is written; file and line
  std::int64_t label = -1;
  std::optional<Split> part{};  ///< where a column says it
  std::optional<FaceBox> box{};
  std::optional<float> arousal{};
};

/// DataError naming file and line unless each line is a name and a label.
std::vector<Annotation> read_annotations(const std::filesystem::path& path, const LabelRange& range);

/// A csv file with a column of pictures (subDirectory_filePath, pth, path, image, ...), one of labels
/// (expression, label, emotion, ...), and perhaps arousal, the part, and the face's box (face_x, face_y,
/// face_width, face_height). `header` is that of files which may come without one; "" if it must be there.
/// DataError naming file and line for what does not fit.
std::vector<Annotation> read_csv_annotations(const std::filesystem::path& path, const LabelRange& range,
                                             const std::string& header = "");

}  // namespace fer::detail
