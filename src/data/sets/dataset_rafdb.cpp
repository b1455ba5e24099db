// RAF-DB (Li et al., 2017), either as published (EmoLabel/list_patition_label.txt, Image/aligned) or as on
// Kaggle (train/1 to train/7 and test/1 to test/7, with train_labels.csv and test_labels.csv beside them).
#include <map>
#include <set>

#include "data/sets/annotations.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t classes = 7;

/// The data set's folder within an unpacked archive.
fs::path unwrapped(const fs::path& folder) {
  std::error_code error;
  for (const char* inner : {"DATASET", "basic", "RAF-DB", "raf-db"}) {
    if (fs::is_directory(folder / inner, error)) return unwrapped(folder / inner);
  }
  return folder;
}

fs::path folder_of_pictures(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {"Image/aligned", "aligned", "Image"}) {
    if (fs::is_directory(folder / name, error)) return folder / name;
  }
  require_folder(folder / "Image" / "aligned", "rafdb");
  return {};
}

std::vector<LabelledFile> read_published(const fs::path& folder, const fs::path& list,
                                         const DatasetOptions& options, DatasetInfo& info) {
  const fs::path pictures = folder_of_pictures(folder);
  PictureList files(info, options);
  std::set<std::string> listed;
  std::error_code error;
  for (const Annotation& a : read_annotations(list, {1, classes})) {
    const bool train = a.name.starts_with("train");
    require<DataError>(train || a.name.starts_with("test"), a.where,
                       ": the picture's name must begin with train or test, got '", a.name, "'");
    if (train != is_training(options.split)) continue;
    const fs::path name(a.name);
    const fs::path aligned = pictures / (name.stem().string() + "_aligned" + name.extension().string());
    const bool plain = !fs::exists(aligned, error) && fs::exists(pictures / name, error);
    listed.insert((plain ? name : aligned.filename()).string());
    files.add({plain ? pictures / name : aligned, a.label - 1}, a.where);
  }
  std::vector<LabelledFile> found = files.finish();
  const char* part = is_training(options.split) ? "train" : "test";
  leave_out_unlisted(info, pictures, listed, "not in the list",
                     [part](const std::string& name) { return name.starts_with(part); });
  return found;
}

/// Labels by picture name from train_labels.csv or test_labels.csv; empty if the file is missing.
std::map<std::string, Annotation> kaggle_labels(const fs::path& folder, const std::string& part) {
  std::map<std::string, Annotation> labels;
  if (const auto list = find_file(folder, {part + "_labels.csv"})) {
    for (Annotation& a : read_csv_annotations(*list, {1, classes})) labels.emplace(a.name, std::move(a));
  }
  return labels;
}

std::vector<LabelledFile> read_kaggle(const fs::path& folder, const DatasetOptions& options,
                                      DatasetInfo& info) {
  const std::string part = is_training(options.split) ? "train" : "test";
  const auto labels = kaggle_labels(folder, part);
  PictureList files(info, options);
  std::set<std::string> found;
  std::vector<FolderContents::Other> others;
  FolderTree tree;
  for (std::int64_t label = 1; label <= classes; ++label) {
    const fs::path here = folder / part / std::to_string(label);
    require_folder(here, options.name);
    const FolderContents contents = tree.read(here);
    others.insert(others.end(), contents.others.begin(), contents.others.end());
    for (const fs::path& picture : contents.pictures) {
      const auto listed = labels.find(picture.filename().string());
      require<DataError>(listed == labels.end() || listed->second.label == label, "'", picture.string(),
                         "' lies in the folder of label ", label, ", but ",
                         listed == labels.end() ? "" : listed->second.where, " says ",
                         listed == labels.end() ? 0 : listed->second.label);
      files.add({picture, label - 1}, picture.string());
      found.insert(picture.filename().string());
    }
  }
  for (const auto& [name, a] : labels) {
    if (!found.contains(name)) files.add({folder / part / std::to_string(a.label) / name}, a.where);
  }
  leave_out_others(info, others);
  return files.finish();
}

}  // namespace

std::shared_ptr<const Dataset> open_rafdb(const DatasetOptions& options) {
  const fs::path folder = unwrapped(options.folder);
  DatasetInfo info = new_info(options, expression_names(), 6);
  std::optional<fs::path> list;
  for (const fs::path& place : {folder / "EmoLabel", folder}) {
    if (!list) list = find_file(place, {"list_patition_label.txt", "list_partition_label.txt"});
  }
  std::error_code error;
  const bool kaggle = !list && fs::is_directory(folder / "train" / "1", error);
  require<IoError>(list || kaggle, "data set 'rafdb': '",
                   (folder / "EmoLabel" / "list_patition_label.txt").string(), "' does not exist, nor does '",
                   (folder / "train" / "1").string(), "'");
  auto files = kaggle ? read_kaggle(folder, options, info) : read_published(folder, *list, options, info);
  return take_part(std::move(info), files, options);
}

}  // namespace fer::detail
