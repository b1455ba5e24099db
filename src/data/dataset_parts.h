// What the data sets share: class lists, counts, and the validation split.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fer/data/dataset.h"

namespace fer::detail {

std::shared_ptr<const Dataset> open_faces(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_fer2013(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_folder(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_rafdb(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_affectnet(const DatasetOptions& options);

/// IoError naming the folder unless it is one.
void require_folder(const std::filesystem::path& folder, const std::string& dataset);

/// Fills class_counts from `labels`, and warns of classes without samples. DataError if there is no sample at
/// all.
void count_classes(DatasetInfo& info, const std::vector<std::int64_t>& labels);

/// Of training samples with these labels, the numbers that belong to `split` (train or validation): of each
/// class the same fraction, chosen by seed. Any other split gets all.
std::vector<std::int64_t> part_of_training(const std::vector<std::int64_t>& labels, Split split,
                                           double fraction, std::uint64_t seed);

/// Pictures in files with a label each.
struct LabelledFile {
  std::filesystem::path path;
  std::int64_t label;
};
std::shared_ptr<const Dataset> labelled_files(DatasetInfo info, std::vector<LabelledFile> files);

}  // namespace fer::detail
