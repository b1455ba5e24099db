// What the data sets share: class lists, counts, and the validation split.
#pragma once

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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

/// A picture in a file, and what is known of it.
struct LabelledFile {
  std::filesystem::path path;
  std::int64_t label = -1;
  std::vector<float> target;                        ///< soft labels only
  std::filesystem::path arousal_npy, landmark_npy;  ///< AffectNet's, read with the picture; empty: unknown
};
std::shared_ptr<const Dataset> labelled_files(DatasetInfo info, std::vector<LabelledFile> files);

/// The files of `options.split`; of the training part, those of its train or validation share.
std::shared_ptr<const Dataset> take_part(DatasetInfo info, const std::vector<LabelledFile>& files,
                                         const DatasetOptions& options);

inline bool is_training(Split split) {
  return split == Split::train || split == Split::validation;
}

/// A line "path label" of an annotation text.
struct Annotation {
  std::string name, where;
  std::int64_t label;
};
/// DataError naming file and line unless each line is a name and a label from low to high.
std::vector<Annotation> read_annotations(const std::filesystem::path& path, std::int64_t low,
                                         std::int64_t high);

/// The fields of a line of comma-separated values, trimmed and without quotes; commas within quotes are kept.
std::vector<std::string_view> csv_fields(std::string_view line);

/// FER+'s votes of one picture: eight emotions, unknown, no face.
struct Votes {
  static constexpr int emotions = 8;
  std::array<int, 10> count{};
  bool named = false;
};
/// Reads ten votes from fields[first] on; DataError at `where`.
Votes parse_votes(const std::vector<std::string_view>& fields, std::size_t first, const std::string& where);
/// The class by DatasetOptions::label_mode, nothing for rows that are left aside.
std::optional<std::int64_t> vote_label(const Votes& votes, LabelMode mode);
/// The votes of the eight emotions as probabilities.
std::vector<float> vote_distribution(const Votes& votes);
const std::vector<std::string>& ferplus_classes();

/// FER+'s picture folders (FER2013Train, FER2013Valid, FER2013Test with a label.csv each).
std::shared_ptr<const Dataset> open_ferplus_folders(const DatasetOptions& options);

/// body(i) for i = 0 .. n - 1 on all threads; rethrows the exception of the smallest i.
template <typename Body>
void parallel_rows(std::int64_t n, Body&& body) {
  std::exception_ptr error;
  std::int64_t error_row = n;
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(fer_data_parallel_rows)
      if (i < error_row) {
        error_row = i;
        error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace fer::detail
