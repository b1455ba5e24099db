// AffectNet (Mollahosseini et al., 2017) with seven or eight of its classes, as published
// (train_set/images/*.jpg, train_set/annotations/*_exp.npy, the same in val_set, which is the test part) or
// listed in train.txt and val.txt (lines of a picture's path and its label).
#include <algorithm>
#include <cmath>

#include "data/dataset_parts.h"
#include "data/file_io.h"
#include "data/npy.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t last_label = 10;  // 7 contempt, 8 none, 9 uncertain, 10 no face

/// The pictures of labels below `classes`; the others are counted in the warnings.
class Selection {
 public:
  Selection(DatasetInfo& info, std::int64_t classes) : info_(info), classes_(classes) {}

  bool wants(std::int64_t label) {
    if (label < classes_) return true;
    ++aside_;
    return false;
  }
  ~Selection() {
    if (aside_ == 0) return;
    info_.warnings.push_back(concat(aside_, " pictures left aside: ", classes_ == 7 ? "contempt, " : "",
                                    "none, uncertain or no face"));
  }

 private:
  DatasetInfo& info_;
  std::int64_t classes_, aside_ = 0;
};

std::vector<LabelledFile> read_list(const fs::path& folder, const fs::path& list, Selection& selection) {
  std::vector<LabelledFile> files;
  for (const Annotation& a : read_annotations(list, 0, last_label)) {
    if (!selection.wants(a.label)) continue;
    const fs::path picture = folder / a.name;
    require<IoError>(fs::exists(picture), a.where, ": the picture '", picture.string(), "' does not exist");
    files.push_back({picture, a.label, {}, {}, {}});
  }
  return files;
}

fs::path picture_of(const fs::path& images, const std::string& number) {
  for (const char* extension : {".jpg", ".png", ".jpeg"}) {
    fs::path picture = images / (number + extension);
    if (fs::exists(picture)) return picture;
  }
  throw IoError(concat("the picture '", (images / (number + ".jpg")).string(), "' of annotation '", number,
                       "_exp.npy' does not exist"));
}

std::vector<LabelledFile> read_annotation_folder(const fs::path& set, Selection& selection,
                                                 DatasetInfo& info) {
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
  // as numbers where they are: 2 before 10
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
  std::vector<LabelledFile> files;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!selection.wants(labels[i])) continue;
    LabelledFile file{picture_of(images, numbers[i]), labels[i], {}, {}, {}};
    if (info.has_arousal) file.arousal_npy = annotations / (numbers[i] + "_aro.npy");
    if (info.has_landmarks) file.landmark_npy = annotations / (numbers[i] + "_lnd.npy");
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace

std::shared_ptr<const Dataset> open_affectnet(const DatasetOptions& options) {
  const bool eight = options.name == "affectnet8";
  DatasetInfo info;
  info.name = options.name;
  info.split = options.split;
  info.class_names = {"neutral", "happy", "sad", "surprise", "fear", "disgust", "anger"};
  if (eight) info.class_names.emplace_back("contempt");
  info.neutral = 0;
  const std::string part = is_training(options.split) ? "train" : "val";
  const fs::path set = options.folder / (part + "_set"), list = options.folder / (part + ".txt");
  std::vector<LabelledFile> files;
  {
    Selection selection(info, eight ? 8 : 7);
    if (fs::is_directory(set / "annotations")) {
      files = read_annotation_folder(set, selection, info);
    } else if (fs::exists(list)) {
      files = read_list(options.folder, list, selection);
    } else {
      throw IoError(concat("data set '", options.name, "': '", options.folder.string(), "' holds neither '",
                           part, "_set/annotations' nor '", part, ".txt'"));
    }
  }
  return take_part(std::move(info), files, options);
}

}  // namespace fer::detail
