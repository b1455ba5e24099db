// Data sets whose pictures are files with one label each: `folder` (train/<class>/*, test/<class>/*) and
// RAF-DB.
#include <algorithm>

#include "data/dataset_parts.h"
#include "data/file_io.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

bool is_picture(const fs::path& path) {
  const std::string extension = to_lower(path.extension().string());
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

std::vector<fs::path> sorted_entries(const fs::path& folder, bool folders) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (folders ? entry.is_directory() : entry.is_regular_file() && is_picture(entry.path()))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::vector<Annotation> read_annotations(const fs::path& path, std::int64_t low, std::int64_t high) {
  const MappedFile file(path);
  std::vector<Annotation> annotations;
  const auto lines = split_lines(file.text());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = trim(lines[i]);
    if (line.empty()) continue;
    const std::string where = concat(path.string(), ":", i + 1);
    const std::size_t space = line.find_last_of(" \t");
    require<DataError>(space != std::string_view::npos, where, ": expected a file name and a label, got '",
                       line, "'");
    std::int64_t label = -1;
    require<DataError>(parse_integer(trim(line.substr(space + 1)), label) && label >= low && label <= high,
                       where, ": the label must be ", low, " to ", high, ", got '", line.substr(space + 1),
                       "'");
    annotations.push_back({std::string(trim(line.substr(0, space))), where, label});
  }
  return annotations;
}

std::shared_ptr<const Dataset> open_folder(const DatasetOptions& options) {
  const fs::path train = options.folder / "train", test = options.folder / "test";
  require_folder(train, options.name);
  DatasetInfo info;
  info.name = options.name;
  info.split = options.split;
  const fs::path part = is_training(options.split) ? train : test;
  require_folder(part, options.name);
  std::vector<LabelledFile> files;
  for (const fs::path& folder : sorted_entries(train, true)) {
    const std::string name = folder.filename().string();
    if (to_lower(name) == "neutral") info.neutral = static_cast<int>(info.class_names.size());
    const auto label = static_cast<std::int64_t>(info.class_names.size());
    info.class_names.push_back(name);
    const fs::path here = part / name;
    if (!fs::is_directory(here)) continue;
    const auto pictures = sorted_entries(here, false);
    require<DataError>(!pictures.empty() || part != train, "data set 'folder': the class folder '",
                       here.string(), "' holds no PNG or JPEG picture");
    for (const fs::path& picture : pictures) files.push_back({picture, label, {}, {}, {}});
  }
  require<DataError>(!info.class_names.empty(), "data set 'folder': '", train.string(),
                     "' holds no class folders");
  for (const fs::path& folder : sorted_entries(part, true)) {
    const std::string name = folder.filename().string();
    require<DataError>(
        std::find(info.class_names.begin(), info.class_names.end(), name) != info.class_names.end(),
        "data set 'folder': the class '", name, "' of '", part.string(), "' is not in '", train.string(),
        "'");
  }
  return take_part(std::move(info), files, options);
}

std::shared_ptr<const Dataset> open_rafdb(const DatasetOptions& options) {
  const fs::path list = options.folder / "EmoLabel" / "list_patition_label.txt";
  require<IoError>(fs::exists(list), "data set 'rafdb': '", list.string(), "' does not exist");
  const fs::path pictures = options.folder / "Image" / "aligned";
  require_folder(pictures, options.name);
  DatasetInfo info;
  info.name = options.name;
  info.split = options.split;
  info.class_names = expression_names();
  info.neutral = 6;
  std::vector<LabelledFile> files;
  const std::string wanted = is_training(options.split) ? "train" : "test";
  for (const Annotation& a : read_annotations(list, 1, 7)) {
    require<DataError>(a.name.starts_with("train") || a.name.starts_with("test"), a.where,
                       ": the picture's name must begin with train or test, got '", a.name, "'");
    if (!a.name.starts_with(wanted)) continue;
    const fs::path name(a.name);
    const fs::path picture = pictures / (name.stem().string() + "_aligned" + name.extension().string());
    require<IoError>(fs::exists(picture), a.where, ": the picture '", picture.string(), "' does not exist");
    files.push_back({picture, a.label - 1, {}, {}, {}});
  }
  return take_part(std::move(info), files, options);
}

}  // namespace fer::detail
