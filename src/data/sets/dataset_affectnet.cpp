// AffectNet (Mollahosseini et al., 2017) with seven or eight of its classes, in one of these layouts:
// - as published: train_set/images/*.jpg, train_set/annotations/*_exp.npy, and the same in val_set, which is
//   the test part; or training.csv and validation.csv;
// - listed in train.txt and val.txt, whose lines have a picture's path and its label;
// - listed in labels.csv, as on Kaggle.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "data/npy.h"
#include "data/sets/annotations.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t last_label = 10;  // 7 contempt, 8 none, 9 uncertain, 10 no face

const std::vector<std::string>& label_names() {
  static const std::vector<std::string> names{"neutral", "happy",    "sad",  "surprise",  "fear",   "disgust",
                                              "anger",   "contempt", "none", "uncertain", "no face"};
  return names;
}

/// The header of the published training.csv; validation.csv has none.
constexpr const char* published_header =
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal";

/// Selects the pictures with labels below `classes`; leaves out the others.
class Selection {
 public:
  Selection(DatasetInfo& info, std::int64_t classes) : info_(info), classes_(classes) {}

  bool wants(std::int64_t label, const std::string& where) {
    if (label < classes_) return true;
    leave_out(info_, label_names()[static_cast<std::size_t>(label)], where);
    return false;
  }

 private:
  DatasetInfo& info_;
  std::int64_t classes_;
};

/// A listed picture, either beside the list or in the folders of the published archives.
fs::path listed_picture(const fs::path& folder, const std::string& name) {
  std::error_code error;
  for (const char* inner : {"", "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images",
                            "Automatically_Annotated_Images"}) {
    if (fs::path path = folder / inner / name; fs::exists(path, error)) return path;
  }
  return folder / name;
}

constexpr const char *unannotated = "without an annotation", *unlisted = "in no list";

/// Counts the pictures that no list names, in the folders of the listed ones.
void leave_out_beside(DatasetInfo& info, const fs::path& folder, const std::vector<Annotation>& lists) {
  std::map<fs::path, std::set<std::string>> listed;  // names by folder
  for (const Annotation& a : lists) {
    const fs::path path = listed_picture(folder, a.name);
    listed[path.parent_path()].insert(path.filename().string());
  }
  std::error_code error;
  for (const auto& [beside, names] : listed) {
    if (fs::is_directory(beside, error)) leave_out_unlisted(info, beside, names, unlisted);
  }
}

/// The pictures of `options.split`, or those from which it is taken.
std::vector<LabelledFile> read_list(const std::vector<Annotation>& list, const DatasetOptions& options,
                                    Selection& selection, DatasetInfo& info, std::optional<Split> part) {
  PictureList files(info, options);
  for (const Annotation& a : list) {
    if (part && a.part != part) continue;
    if (!selection.wants(a.label, a.where)) continue;
    LabelledFile file{listed_picture(options.folder, a.name), a.label};
    file.box = a.box;
    file.arousal = a.arousal;
    info.has_arousal = info.has_arousal || a.arousal;
    files.add(std::move(file), a.where);
  }
  return files.finish();
}

constexpr std::array<const char*, 3> extensions{".jpg", ".png", ".jpeg"};

/// The picture of an annotation; the .jpg name if no file exists.
fs::path picture_of(const fs::path& images, const std::string& number) {
  for (const char* extension : extensions) {
    fs::path picture = images / (number + extension);
    if (fs::exists(picture)) return picture;
  }
  return images / (number + ".jpg");
}

std::vector<LabelledFile> read_annotation_folder(const fs::path& set, const DatasetOptions& options,
                                                 Selection& selection, DatasetInfo& info) {
  constexpr std::string_view suffix = "_exp.npy";
  const fs::path annotations = set / "annotations", images = set / "images";
  require_folder(images, info.name);
  std::vector<std::string> numbers;
  for (const auto& entry : fs::directory_iterator(annotations)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(suffix)) numbers.push_back(name.substr(0, name.size() - suffix.size()));
  }
  require<DataError>(!numbers.empty(), "data set '", info.name, "': '", annotations.string(), "' holds no *",
                     suffix, " files");
  // numbers in numeric order: 2 before 10
  std::sort(numbers.begin(), numbers.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  std::vector<std::int64_t> labels(numbers.size());
  parallel_rows(static_cast<std::int64_t>(numbers.size()), [&](std::int64_t i) {
    const fs::path path = annotations / (numbers[static_cast<std::size_t>(i)] + std::string(suffix));
    const double label = read_npy_scalar(path);
    require<DataError>(label >= 0 && label <= last_label && label == std::floor(label), "'", path.string(),
                       "': the label must be 0 to ", last_label, ", got ", label);
    labels[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(label);
  });
  info.has_landmarks = fs::exists(annotations / (numbers[0] + "_lnd.npy"));
  info.has_arousal = fs::exists(annotations / (numbers[0] + "_aro.npy"));
  PictureList files(info, options);
  std::set<std::string> annotated;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    for (const char* extension : extensions) annotated.insert(numbers[i] + extension);
    if (!selection.wants(labels[i], concat(numbers[i], suffix))) continue;
    LabelledFile file{picture_of(images, numbers[i]), labels[i]};
    if (info.has_arousal) file.arousal_npy = annotations / (numbers[i] + "_aro.npy");
    if (info.has_landmarks) file.landmark_npy = annotations / (numbers[i] + "_lnd.npy");
    files.add(std::move(file), (annotations / (numbers[i] + std::string(suffix))).string());
  }
  std::vector<LabelledFile> found = files.finish();
  leave_out_unlisted(info, images, annotated, unannotated);
  return found;
}

/// Warns of pictures left out because of their labels. Other code warns of missing, unannotated and unlisted
/// ones.
void warn_of_labels(DatasetInfo& info) {
  DatasetInfo warned;
  for (const LeftOut& entry : info.left_out) {
    if (entry.rule != "missing" && entry.rule != unannotated && entry.rule != unlisted)
      warned.left_out.push_back(entry);
  }
  warn_of_left_out(warned, "pictures");
  info.warnings.insert(info.warnings.begin(), warned.warnings.begin(), warned.warnings.end());
}

void append(std::vector<Annotation>& list, const std::vector<Annotation>& added) {
  list.insert(list.end(), added.begin(), added.end());
}

const std::vector<std::string> training_lists{"training.csv", "train.csv"},
    validation_lists{"validation.csv", "val.csv", "valid.csv"};

}  // namespace

std::shared_ptr<const Dataset> open_affectnet(const DatasetOptions& options) {
  const std::int64_t classes = options.name == "affectnet8" ? 8 : 7;
  const auto& names = label_names();
  DatasetInfo info = new_info(options, {names.begin(), names.begin() + classes}, 0);
  Selection selection(info, classes);
  const bool training = is_training(options.split);
  const fs::path& folder = options.folder;
  const std::string part = training ? "train" : "val";
  const LabelRange range{0, last_label, names};
  OwnParts own;
  std::vector<LabelledFile> files;
  std::error_code error;
  if (const fs::path set = folder / (part + "_set"); fs::is_directory(set / "annotations", error)) {
    files = read_annotation_folder(set, options, selection, info);
  } else if (fs::exists(folder / (part + ".txt"), error)) {
    std::vector<Annotation> lists = read_annotations(folder / (part + ".txt"), range);
    files = read_list(lists, options, selection, info, {});
    if (training && fs::exists(folder / "val.txt", error))
      append(lists, read_annotations(folder / "val.txt", range));
    if (training) leave_out_beside(info, folder, lists);
  } else if (const auto list = find_file(folder, training ? training_lists : validation_lists)) {
    std::vector<Annotation> lists = read_csv_annotations(*list, range, published_header);
    files = read_list(lists, options, selection, info, {});
    const auto other = training ? find_file(folder, validation_lists) : std::nullopt;
    if (other) append(lists, read_csv_annotations(*other, range, published_header));
    if (training) leave_out_beside(info, folder, lists);
  } else if (const auto all = find_file(folder, {"labels.csv"})) {
    const auto annotations = read_csv_annotations(*all, range);
    const auto has = [&](Split wanted) {
      return std::any_of(annotations.begin(), annotations.end(),
                         [&](const Annotation& a) { return a.part == wanted; });
    };
    own = {has(Split::validation), has(Split::test)};
    const bool parts = own.validation || own.test || has(Split::train);
    const bool carved = (options.split == Split::test && !own.test) ||
                        (options.split == Split::validation && !own.validation);
    files = read_list(annotations, options, selection, info,
                      parts ? std::optional(carved ? Split::train : options.split) : std::nullopt);
    if (training) leave_out_beside(info, folder, annotations);
  } else {
    throw IoError(concat("data set '", options.name, "': '", folder.string(), "' holds neither '", part,
                         "_set/annotations' nor '", part, ".txt', '", training ? "training" : "validation",
                         ".csv' or 'labels.csv'; folders of classes are the data set 'folder'"));
  }
  warn_of_labels(info);
  return take_part(std::move(info), files, options, own);
}

}  // namespace fer::detail
