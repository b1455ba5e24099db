// Names of data sets, splits and label modes; opening by name; subsets.
#include "fer/data/dataset.h"

#include <algorithm>
#include <atomic>

#include "data/sets/dataset_parts.h"
#include "fer/error.h"
#include "fer/nearest.h"
#include "formats/json_text.h"

namespace fer {
namespace {

class SubsetDataset : public Dataset {
 public:
  SubsetDataset(std::shared_ptr<const Dataset> base, std::vector<std::int64_t> indices,
                const std::vector<BadSample>& bad)
      : SubsetDataset(std::move(base), std::move(indices)) {
    require<DataError>(!indices_.empty(), "data set '", info_.name, "': no picture of the ",
                       name_of(info_.split), " part can be read");
    for (const BadSample& sample : bad) {
      detail::leave_out(info_, "damaged", sample.reason);
      info_.warnings.push_back("left out: " + sample.reason);
    }
    for (std::size_t c = 0; c < info_.class_counts.size(); ++c) {
      if (info_.class_counts[c] == 0 && base_->info().class_counts[c] > 0)
        info_.warnings.push_back(concat("class '", info_.class_names[c], "' has no samples"));
    }
  }
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
  bool reads_files() const override { return base_->reads_files(); }

 private:
  std::shared_ptr<const Dataset> base_;
  std::vector<std::int64_t> indices_;
};

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
  require<ConfigError>(options.test_fraction >= 0 && options.test_fraction <= 0.5,
                       "the test fraction must be 0 to 0.5, got ", options.test_fraction);
  require<ConfigError>(options.skip_bad >= 0, "the number of bad pictures to skip must not be negative, got ",
                       options.skip_bad);
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
    auto dataset = open_by_name(options);
    for (const std::string& word : dataset->info().class_names) {
      require<DataError>(is_utf8(word), "data set '", name, "': the class name '", excerpt(word),
                         "' is not UTF-8; rename its folder");
    }
    return dataset;
  } catch (const std::filesystem::filesystem_error& error) {
    throw IoError(concat("data set '", name, "': cannot read '", error.path1().string(),
                         "': ", error.code().message()));
  }
}

std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> dataset,
                                      std::vector<std::int64_t> indices) {
  return std::make_shared<SubsetDataset>(std::move(dataset), std::move(indices));
}

bool all_grey(const Dataset& dataset) {
  if (dataset.info().channels == 1) return true;
  std::atomic<bool> colour{false};
  try {
    detail::parallel_rows(dataset.size(), [&](std::int64_t i) {
      if (!colour && !is_grey(dataset.sample(i).image)) colour = true;
    });
  } catch (...) {
    if (!colour) throw;  // one colour picture decides the result, whatever the unreadable ones are
  }
  return !colour;
}

std::shared_ptr<const Dataset> without(std::shared_ptr<const Dataset> dataset,
                                       const std::vector<BadSample>& bad) {
  if (bad.empty()) return dataset;
  std::vector<bool> is_bad(static_cast<std::size_t>(dataset->size()));
  for (const BadSample& sample : bad) is_bad.at(static_cast<std::size_t>(sample.index)) = true;
  std::vector<std::int64_t> good;
  for (std::int64_t i = 0; i < dataset->size(); ++i) {
    if (!is_bad[static_cast<std::size_t>(i)]) good.push_back(i);
  }
  return std::make_shared<SubsetDataset>(std::move(dataset), std::move(good), bad);
}

std::shared_ptr<const Dataset> picture_files(std::vector<std::filesystem::path> files) {
  DatasetInfo info;
  info.name = "pictures";
  std::vector<detail::LabelledFile> labelled;
  labelled.reserve(files.size());
  for (auto& file : files) labelled.push_back({std::move(file)});
  return detail::file_dataset(std::move(info), std::move(labelled));
}

}  // namespace fer
