// Shared by the data sets: pictures in files, leaving out pictures, and held-out parts for validation and
// test.
#include "data/sets/dataset_parts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "data/npy.h"
#include "fer/error.h"
#include "fer/tensor/random.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

/// Cuts a picture to the face box of a list. Such boxes may extend slightly beyond the border.
Image cut_to_face(const Image& image, const FaceBox& box, const fs::path& path) {
  const auto inside = [](std::int64_t from, std::int64_t extent, std::int64_t whole) {
    return std::pair{std::clamp<std::int64_t>(from, 0, whole),
                     std::clamp<std::int64_t>(from + extent, 0, whole)};
  };
  const auto [left, right] = inside(box.left, box.width, image.width);
  const auto [top, bottom] = inside(box.top, box.height, image.height);
  const double shown = static_cast<double>((right - left) * (bottom - top)) /
                       (static_cast<double>(box.width) * static_cast<double>(box.height));
  require<FormatError>(shown >= 0.5, "'", path.string(), "' has ", image.width, " x ", image.height,
                       " pixels, but its list says that its face is ", box.width, " x ", box.height, " at ",
                       box.left, ", ", box.top,
                       "; pictures that are cut to the face need a list without face_x");
  return crop(image, static_cast<int>(top), static_cast<int>(left), static_cast<int>(bottom - top),
              static_cast<int>(right - left));
}

class FileDataset : public Dataset {
 public:
  FileDataset(DatasetInfo info, std::vector<LabelledFile> files) : files_(std::move(files)) {
    info_ = std::move(info);
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  std::int64_t label(std::int64_t i) const override { return files_.at(static_cast<std::size_t>(i)).label; }
  std::string name(std::int64_t i) const override {
    return files_.at(static_cast<std::size_t>(i)).path.string();
  }
  Sample sample(std::int64_t i) const override {
    const auto& file = files_.at(static_cast<std::size_t>(i));
    Sample sample;
    sample.image =
        file.box ? cut_to_face(read_image(file.path), *file.box, file.path) : read_image(file.path);
    sample.label = file.label;
    sample.target = file.target;
    sample.name = file.path.string();
    sample.arousal = file.arousal;
    if (!file.arousal_npy.empty()) sample.arousal = affectnet_arousal(file.arousal_npy);
    if (!file.landmark_npy.empty()) {
      sample.landmarks = affectnet_landmarks(file.landmark_npy, sample.image.width, sample.image.height);
    }
    return sample;
  }
  bool reads_files() const override { return true; }

 private:
  std::vector<LabelledFile> files_;
};

/// Which of the samples with these labels are held out for `purpose`: the same fraction of each class.
std::vector<bool> held_out_by_class(const std::vector<std::int64_t>& labels, double fraction,
                                    std::uint64_t seed, const char* purpose) {
  std::map<std::int64_t, std::vector<std::size_t>> by_class;
  for (std::size_t i = 0; i < labels.size(); ++i) by_class[labels[i]].push_back(i);
  std::vector<bool> is_held_out(labels.size());
  for (auto& [label, members] : by_class) {
    Random random({seed, fnv1a64(purpose), static_cast<std::uint64_t>(label)});
    for (std::size_t i = members.size(); i > 1; --i) std::swap(members[i - 1], members[random.below(i)]);
    const auto count = std::lround(fraction * static_cast<double>(members.size()));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) is_held_out[members[i]] = true;
  }
  return is_held_out;
}

/// Chooses a held-out part from files, and describes how.
struct HeldOut {
  std::vector<bool> is_held_out;
  std::string description;  ///< "the pictures of 4 of 40 persons", "20 % of the pictures, class by class"
};

HeldOut held_out(const std::vector<LabelledFile>& files, double fraction, std::uint64_t seed,
                 const char* purpose) {
  constexpr std::size_t min_persons = 10;
  std::set<std::string> names;
  for (const LabelledFile& file : files) names.insert(file.person);
  if (names.size() < min_persons || names.contains("")) {
    std::vector<std::int64_t> labels;
    for (const LabelledFile& file : files) labels.push_back(file.label);
    return {held_out_by_class(labels, fraction, seed, purpose),
            concat(std::lround(100 * fraction), " % of its pictures, class by class by seed ", seed, ",")};
  }
  std::vector<std::string> persons(names.begin(), names.end());
  Random random({seed, fnv1a64(purpose), fnv1a64("persons")});
  for (std::size_t i = persons.size(); i > 1; --i) std::swap(persons[i - 1], persons[random.below(i)]);
  persons.resize(static_cast<std::size_t>(std::lround(fraction * static_cast<double>(persons.size()))));
  const std::set<std::string> chosen(persons.begin(), persons.end());
  std::vector<bool> is_held_out;
  for (const LabelledFile& file : files) is_held_out.push_back(chosen.contains(file.person));
  return {std::move(is_held_out), concat("the pictures of ", chosen.size(), " of its ", names.size(),
                                         " persons, by seed ", seed, ",")};
}

std::vector<LabelledFile> files_where(const std::vector<LabelledFile>& files, const std::vector<bool>& flags,
                                      bool value) {
  std::vector<LabelledFile> selected;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (flags[i] == value) selected.push_back(files[i]);
  }
  return selected;
}

}  // namespace

std::shared_ptr<const Dataset> file_dataset(DatasetInfo info, std::vector<LabelledFile> files) {
  return std::make_shared<FileDataset>(std::move(info), std::move(files));
}

DatasetInfo new_info(const DatasetOptions& options, std::vector<std::string> class_names, int neutral) {
  DatasetInfo info;
  info.name = options.name;
  info.split = options.split;
  info.class_names = std::move(class_names);
  info.neutral = neutral;
  if (!options.class_names.empty() && options.name != "folder")
    info.warnings.push_back("class names are for the data set 'folder' and change nothing here");
  return info;
}

void require_folder(const fs::path& folder, const std::string& dataset) {
  std::error_code error;
  require<IoError>(fs::is_directory(folder, error), "data set '", dataset, "': the folder '", folder.string(),
                   "' does not exist");
}

std::optional<fs::path> find_file(const fs::path& folder, const std::vector<std::string>& names) {
  std::error_code error;
  for (const std::string& name : names) {
    for (const char* ending : {"", ".gz"}) {
      if (fs::path path = folder / (name + ending); fs::exists(path, error)) return path;
    }
  }
  return std::nullopt;
}

void leave_out(DatasetInfo& info, const std::string& rule, const std::string& example) {
  constexpr std::size_t shown = 5;
  auto found = std::find_if(info.left_out.begin(), info.left_out.end(),
                            [&](const LeftOut& entry) { return entry.rule == rule; });
  if (found == info.left_out.end()) found = info.left_out.insert(found, LeftOut{rule, 0, {}});
  ++found->count;
  if (found->examples.size() < shown) found->examples.push_back(example);
}

void warn_of_left_out(DatasetInfo& info, const std::string& what) {
  std::int64_t all = 0;
  std::string rules;
  for (const LeftOut& entry : info.left_out) {
    all += entry.count;
    rules += concat(rules.empty() ? "" : ", ", entry.count, " ", entry.rule);
  }
  if (all > 0) info.warnings.push_back(concat(all, " ", what, " left aside: ", rules));
}

void leave_out_others(DatasetInfo& info, const std::vector<FolderContents::Other>& others) {
  DatasetInfo warned;
  for (const auto& other : others) {
    leave_out(info, other.rule, other.path.string());
    if (other.rule != "hidden") leave_out(warned, other.rule, other.path.string());
  }
  warn_of_left_out(warned, "files or folders");
  info.warnings.insert(info.warnings.end(), warned.warnings.begin(), warned.warnings.end());
}

void count_classes(DatasetInfo& info, const std::vector<std::int64_t>& labels) {
  info.class_counts.assign(info.class_names.size(), 0);
  for (std::int64_t label : labels) ++info.class_counts.at(static_cast<std::size_t>(label));
  require<DataError>(!labels.empty(), "data set '", info.name, "': the ", name_of(info.split),
                     " part has no samples");
  for (std::size_t c = 0; c < info.class_names.size(); ++c) {
    if (info.class_counts[c] == 0)
      info.warnings.push_back(concat("class '", info.class_names[c], "' has no samples"));
  }
}

std::vector<std::int64_t> part_of_training(const std::vector<std::int64_t>& labels, Split split,
                                           double fraction, std::uint64_t seed) {
  if (!is_training(split)) fraction = 0;
  const std::vector<bool> is_held_out = held_out_by_class(labels, fraction, seed, "validation");
  std::vector<std::int64_t> indices;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (is_held_out[i] == (split == Split::validation)) indices.push_back(static_cast<std::int64_t>(i));
  }
  return indices;
}

std::shared_ptr<const Dataset> labelled_files(DatasetInfo info, std::vector<LabelledFile> files) {
  std::vector<std::int64_t> labels;
  labels.reserve(files.size());
  for (const LabelledFile& file : files) labels.push_back(file.label);
  count_classes(info, labels);
  return file_dataset(std::move(info), std::move(files));
}

void PictureList::add(LabelledFile file, const std::string& where) {
  std::error_code error;
  if (fs::exists(file.path, error)) {
    files_.push_back(std::move(file));
  } else {
    missing_.push_back(concat(where, ": the picture '", file.path.string(), "' does not exist"));
  }
}

std::vector<LabelledFile> PictureList::finish() {
  const auto missing = static_cast<std::int64_t>(missing_.size());
  if (missing == 1 && skip_bad_ == 0) throw IoError(missing_[0]);
  require<IoError>(missing <= skip_bad_, "data set '", info_.name, "': ", missing, " of ",
                   missing_.size() + files_.size(), " pictures do not exist:\n  ", first_ten(missing_),
                   "\n--skip-bad ", missing, " leaves them out");
  for (const std::string& line : missing_) {
    leave_out(info_, "missing", line);
    info_.warnings.push_back("left out: " + line);
  }
  return std::move(files_);
}

void leave_out_unlisted(DatasetInfo& info, const fs::path& folder, const std::set<std::string>& listed,
                        const std::string& rule,
                        const std::function<bool(const std::string& name)>& of_part) {
  DatasetInfo warned;
  for (const fs::path& picture : FolderTree().read(folder).pictures) {
    const std::string name = picture.filename().string();
    if (listed.contains(name) || (of_part && !of_part(name))) continue;
    leave_out(info, rule, picture.string());
    leave_out(warned, rule, picture.string());
  }
  warn_of_left_out(warned, "pictures");
  info.warnings.insert(info.warnings.end(), warned.warnings.begin(), warned.warnings.end());
}

std::string first_ten(const std::vector<std::string>& lines) {
  constexpr std::size_t shown = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(lines.size(), shown); ++i) text += (i == 0 ? "" : "\n  ") + lines[i];
  if (lines.size() > shown) text += concat("\n  and ", lines.size() - shown, " more");
  return text;
}

std::shared_ptr<const Dataset> take_part(DatasetInfo info, const std::vector<LabelledFile>& files,
                                         const DatasetOptions& options, OwnParts own) {
  const bool test = options.split == Split::test, validation = options.split == Split::validation;
  if ((test && own.test) || (validation && own.validation)) return labelled_files(std::move(info), files);
  std::vector<LabelledFile> remaining = files;
  if (!own.test) {
    require<ConfigError>(!test || options.test_fraction > 0, "data set '", info.name,
                         "' has no test part of its own, and the fraction to hold out for one is 0");
    const HeldOut part = held_out(files, options.test_fraction, options.seed, "test");
    if (test)
      info.warnings.push_back(
          concat("it has no test part of its own; ", part.description, " are held out for one"));
    remaining = files_where(files, part.is_held_out, test);
  }
  if (!test && !own.validation) {
    const HeldOut part = held_out(remaining, options.validation_fraction, options.seed, "validation");
    remaining = files_where(remaining, part.is_held_out, validation);
  }
  return labelled_files(std::move(info), std::move(remaining));
}

}  // namespace fer::detail
