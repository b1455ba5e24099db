// Lists of pictures and labels: text files with lines "path label", and csv files with a header.
#include "data/sets/annotations.h"

#include <algorithm>
#include <cmath>

#include "data/file_io.h"
#include "data/text_file.h"
#include "fer/data/class_map.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

/// A label as a number or as one of `names`; the usual spellings are accepted.
std::int64_t parse_label(std::string_view field, const LabelRange& range, const std::string& where) {
  std::int64_t label = -1;
  if (!parse_integer(field, label)) {
    const std::string meaning = canonical_class(field);
    const auto named = std::find_if(range.names.begin(), range.names.end(), [&](const std::string& name) {
      return canonical_class(name) == meaning;
    });
    label = named == range.names.end() ? range.low - 1 : range.low + (named - range.names.begin());
  }
  require<DataError>(label >= range.low && label <= range.high, where, ": the label must be ", range.low,
                     " to ", range.high, range.names.empty() ? "" : " or a known name", ", got '", field,
                     "'");
  return label;
}

/// The columns of a csv list, found by the names that publishers use.
struct ListColumns {
  explicit ListColumns(const CsvTable& table)
      : label(table.find({"expression", "label", "emotion", "class", "exp", "labels"})),
        path(table.find({"subdirectory_filepath", "pth", "path", "filepath", "file_path", "image_path",
                         "file", "filename", "file_name", "image", "image_name", "img", "name"})),
        arousal(table.find({"arousal"})),
        part(table.find({"split", "usage", "partition", "set"})),
        box{table.find({"face_x"}), table.find({"face_y"}), table.find({"face_width"}),
            table.find({"face_height"})} {
    require<DataError>(
        label && path, table.file().where(0), ": the header names no column of ",
        path ? "labels (expression, label, emotion)" : "pictures (subDirectory_filePath, pth, path)");
  }

  std::optional<std::size_t> label, path, arousal, part;
  std::array<std::optional<std::size_t>, 4> box;
};

std::optional<FaceBox> parse_box(const CsvTable& table, const std::vector<std::string_view>& fields,
                                 const ListColumns& columns, const std::string& where) {
  std::array<int, 4> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!columns.box[i]) return std::nullopt;
    constexpr double most = 1e6;
    const std::string_view field = fields[*columns.box[i]];
    const auto value = table.file().number(field);
    require<DataError>(value && std::abs(*value) <= most && (i < 2 || *value >= 1), where,
                       ": the face's place and size must be numbers of pixels, got '", field, "'");
    numbers[i] = static_cast<int>(std::lround(*value));
  }
  return FaceBox{numbers[0], numbers[1], numbers[2], numbers[3]};
}

std::optional<Split> parse_part(std::string_view field, const std::string& where) {
  const std::string name = to_lower(field);
  if (name.starts_with("train")) return Split::train;
  if (name.starts_with("val") || name == "dev") return Split::validation;
  if (name.starts_with("test")) return Split::test;
  throw DataError(concat(where, ": the part must be train, validation or test, got '", field, "'"));
}

}  // namespace

std::vector<Annotation> read_annotations(const fs::path& path, const LabelRange& range) {
  const TextFile file(path);
  std::vector<Annotation> annotations;
  const auto lines = split_lines(file.text());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = trim(lines[i]);
    if (line.empty()) continue;
    Annotation a;
    a.where = concat(path.string(), ":", i + 1);
    const std::size_t space = line.find_last_of(" \t");
    require<DataError>(space != std::string_view::npos, a.where, ": expected a file name and a label, got '",
                       line, "'");
    a.label = parse_label(trim(line.substr(space + 1)), range, a.where);
    a.name = trim(line.substr(0, space));
    annotations.push_back(std::move(a));
  }
  return annotations;
}

std::vector<Annotation> read_csv_annotations(const fs::path& path, const LabelRange& range,
                                             const std::string& header) {
  const CsvTable table(path, header);
  const ListColumns columns(table);
  std::vector<Annotation> annotations(table.size());
  parallel_rows(static_cast<std::int64_t>(table.size()), [&](std::int64_t i) {
    const auto row = static_cast<std::size_t>(i);
    const auto fields = table.fields(row);
    Annotation& a = annotations[row];
    a.where = table.where(row);
    a.name = csv_text(fields[*columns.path]);
    require<DataError>(!a.name.empty(), a.where, ": the picture has no name");
    std::replace(a.name.begin(), a.name.end(), '\\', '/');
    a.label = parse_label(fields[*columns.label], range, a.where);
    if (columns.part) a.part = parse_part(fields[*columns.part], a.where);
    a.box = parse_box(table, fields, columns, a.where);
    if (columns.arousal) {
      const auto arousal = table.file().number(fields[*columns.arousal]);
      // -2 if the published list has none
      if (arousal && std::abs(*arousal) <= 1) a.arousal = static_cast<float>(*arousal);
    }
  });
  return annotations;
}

}  // namespace fer::detail
