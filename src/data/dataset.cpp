// The data sets' common parts: their names, opening by name, subsets, pictures in files, the validation
// share.
#include "fer/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "data/dataset_parts.h"
#include "data/npy.h"
#include "fer/error.h"
#include "fer/nearest.h"
#include "fer/tensor/random.h"

namespace fer {
namespace {

class SubsetDataset : public Dataset {
 public:
  SubsetDataset(std::shared_ptr<const Dataset> base, std::vector<std::int64_t> indices)
      : base_(std::move(base)), indices_(std::move(indices)) {
    info_ = base_->info();
    std::fill(info_.class_counts.begin(), info_.class_counts.end(), 0);
    for (std::int64_t i : indices_) {
      require<ConfigError>(i >= 0 && i < base_->size(), "subset: no sample ", i, " among ", base_->size());
      if (const std::int64_t c = base_->label(i); c >= 0) ++info_.class_counts[static_cast<std::size_t>(c)];
    }
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  std::int64_t label(std::int64_t i) const override {
    return base_->label(indices_.at(static_cast<std::size_t>(i)));
  }
  std::string name(std::int64_t i) const override {
    return base_->name(indices_.at(static_cast<std::size_t>(i)));
  }
  Sample sample(std::int64_t i) const override {
    return base_->sample(indices_.at(static_cast<std::size_t>(i)));
  }

 private:
  std::shared_ptr<const Dataset> base_;
  std::vector<std::int64_t> indices_;
};

class FileDataset : public Dataset {
 public:
  FileDataset(DatasetInfo info, std::vector<detail::LabelledFile> files) : files_(std::move(files)) {
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
    sample.image = read_image(file.path);
    sample.label = file.label;
    sample.target = file.target;
    sample.name = file.path.string();
    if (!file.arousal_npy.empty()) sample.arousal = detail::affectnet_arousal(file.arousal_npy);
    if (!file.landmark_npy.empty()) {
      sample.landmarks =
          detail::affectnet_landmarks(file.landmark_npy, sample.image.width, sample.image.height);
    }
    return sample;
  }

 private:
  std::vector<detail::LabelledFile> files_;
};

std::vector<std::int64_t> labels_of(const std::vector<detail::LabelledFile>& files) {
  std::vector<std::int64_t> labels;
  labels.reserve(files.size());
  for (const detail::LabelledFile& file : files) labels.push_back(file.label);
  return labels;
}

}  // namespace

std::string_view name_of(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::validation:
      return "validation";
    case Split::test:
      return "test";
    case Split::public_test:
      return "public_test";
    case Split::private_test:
      return "private_test";
  }
  throw ConfigError("name_of: unknown split");
}

Split parse_split(std::string_view name) {
  for (Split split :
       {Split::train, Split::validation, Split::test, Split::public_test, Split::private_test}) {
    if (name == name_of(split)) return split;
  }
  throw ConfigError(
      unknown_name("split", name, {"train", "validation", "test", "public_test", "private_test"}));
}

std::string_view name_of(LabelMode mode) {
  return mode == LabelMode::majority ? "majority" : mode == LabelMode::argmax ? "argmax" : "soft";
}

LabelMode parse_label_mode(std::string_view name) {
  for (LabelMode mode : {LabelMode::majority, LabelMode::argmax, LabelMode::soft}) {
    if (name == name_of(mode)) return mode;
  }
  throw ConfigError(unknown_name("label mode", name, {"majority", "argmax", "soft"}));
}

const std::vector<std::string>& dataset_names() {
  static const std::vector<std::string> names{"rafdb",      "ferplus", "fer2013", "affectnet7",
                                              "affectnet8", "folder",  "faces"};
  return names;
}

namespace {

std::shared_ptr<const Dataset> open_by_name(const DatasetOptions& options) {
  const std::string& name = options.name;
  if (name == "faces") return detail::open_faces(options);
  require<ConfigError>(!options.folder.empty(), "data set '", name, "': name its folder with --data");
  detail::require_folder(options.folder, name);
  if (name == "ferplus" || name == "fer2013") return detail::open_fer2013(options);
  if (name == "folder") return detail::open_folder(options);
  if (name == "rafdb") return detail::open_rafdb(options);
  return detail::open_affectnet(options);
}

}  // namespace

std::shared_ptr<const Dataset> open_dataset(const DatasetOptions& options) {
  require<ConfigError>(options.validation_fraction >= 0 && options.validation_fraction <= 0.5,
                       "the validation fraction must be 0 to 0.5, got ", options.validation_fraction);
  require<ConfigError>(options.split != Split::validation || options.validation_fraction > 0,
                       "there is no validation split: its fraction is 0");
  const std::string& name = options.name;
  const auto& known = dataset_names();
  require<ConfigError>(std::find(known.begin(), known.end(), name) != known.end(),
                       unknown_name("data set", name, known));
  const bool two_tests = name == "ferplus" || name == "fer2013";
  const bool of_two = options.split == Split::public_test || options.split == Split::private_test;
  require<ConfigError>(two_tests || !of_two, "data set '", name, "' has no split '", name_of(options.split),
                       "'; it has train, validation and test");
  try {
    return open_by_name(options);
  } catch (const std::filesystem::filesystem_error& error) {
    throw IoError(concat("data set '", name, "': cannot read '", error.path1().string(),
                         "': ", error.code().message()));
  }
}

std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> dataset,
                                      std::vector<std::int64_t> indices) {
  return std::make_shared<SubsetDataset>(std::move(dataset), std::move(indices));
}

std::shared_ptr<const Dataset> picture_files(std::vector<std::filesystem::path> files) {
  DatasetInfo info;
  info.name = "pictures";
  std::vector<detail::LabelledFile> labelled;
  labelled.reserve(files.size());
  for (auto& file : files) labelled.push_back({std::move(file), -1, {}, {}, {}});
  return std::make_shared<FileDataset>(std::move(info), std::move(labelled));
}

namespace detail {

void require_folder(const std::filesystem::path& folder, const std::string& dataset) {
  std::error_code error;
  require<IoError>(std::filesystem::is_directory(folder, error), "data set '", dataset, "': the folder '",
                   folder.string(), "' does not exist");
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
  std::vector<std::int64_t> kept;
  if (split != Split::train && split != Split::validation) fraction = 0;
  std::map<std::int64_t, std::vector<std::int64_t>> by_class;
  for (std::size_t i = 0; i < labels.size(); ++i) by_class[labels[i]].push_back(static_cast<std::int64_t>(i));
  for (auto& [label, members] : by_class) {
    Random random({seed, fnv1a64("validation"), static_cast<std::uint64_t>(label)});
    for (std::size_t i = members.size(); i > 1; --i) std::swap(members[i - 1], members[random.below(i)]);
    const auto held = std::lround(fraction * static_cast<double>(members.size()));
    const auto begin = members.begin() + (split == Split::validation ? 0 : held);
    const auto end = split == Split::validation ? members.begin() + held : members.end();
    kept.insert(kept.end(), begin, end);
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

std::shared_ptr<const Dataset> labelled_files(DatasetInfo info, std::vector<LabelledFile> files) {
  count_classes(info, labels_of(files));
  return std::make_shared<FileDataset>(std::move(info), std::move(files));
}

std::shared_ptr<const Dataset> take_part(DatasetInfo info, const std::vector<LabelledFile>& files,
                                         const DatasetOptions& options) {
  std::vector<LabelledFile> kept;
  for (std::int64_t i :
       part_of_training(labels_of(files), options.split, options.validation_fraction, options.seed)) {
    kept.push_back(files[static_cast<std::size_t>(i)]);
  }
  return labelled_files(std::move(info), std::move(kept));
}

}  // namespace detail
}  // namespace fer
