// Shared by the data sets: class lists, counts, and the validation split.
#pragma once

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "data/sets/csv.h"
#include "data/sets/folder_tree.h"
#include "fer/data/dataset.h"

namespace fer::detail {

std::shared_ptr<const Dataset> open_faces(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_fer2013(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_folder(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_rafdb(const DatasetOptions& options);
std::shared_ptr<const Dataset> open_affectnet(const DatasetOptions& options);

/// The initial DatasetInfo with class names and the neutral class.
DatasetInfo new_info(const DatasetOptions& options, std::vector<std::string> class_names, int neutral);

/// IoError, naming the folder, unless it exists and is a folder.
void require_folder(const std::filesystem::path& folder, const std::string& dataset);
/// The first of `names` in `folder`, with or without .gz appended; none if there is no such file.
std::optional<std::filesystem::path> find_file(const std::filesystem::path& folder,
                                               const std::vector<std::string>& names);

/// Counts one more sample that `rule` leaves out.
void leave_out(DatasetInfo& info, const std::string& rule, const std::string& example);
/// Warns of everything left out so far: "3 rows left aside: 2 no majority, 1 won by unknown".
void warn_of_left_out(DatasetInfo& info, const std::string& what);

/// Leaves out files that are not pictures, and warns of them unless they are hidden.
void leave_out_others(DatasetInfo& info, const std::vector<FolderContents::Other>& others);

/// Fills class_counts from `labels`, and warns of classes without samples. DataError if there are no samples.
void count_classes(DatasetInfo& info, const std::vector<std::int64_t>& labels);

/// The indices of the training samples with these labels that belong to `split` (train or validation): the
/// same fraction of each class, chosen by seed. Any other split gets all.
std::vector<std::int64_t> part_of_training(const std::vector<std::int64_t>& labels, Split split,
                                           double fraction, std::uint64_t seed);

/// The box of a face, in pixels of the picture.
struct FaceBox {
  int left, top, width, height;
};

/// A picture in a file, and the facts known about it.
struct LabelledFile {
  std::filesystem::path path{};
  std::int64_t label = -1;
  std::vector<float> target{};  ///< soft labels only
  std::filesystem::path arousal_npy{},
      landmark_npy{};  ///< AffectNet only, read with the picture; empty: unknown
  std::optional<float> arousal{};
  std::optional<FaceBox> box{};  ///< the picture is cut to it
  std::string person{};          ///< "": unknown; one person's pictures stay in one part
};
std::shared_ptr<const Dataset> file_dataset(DatasetInfo info, std::vector<LabelledFile> files);
/// A data set of these files, with its classes counted.
std::shared_ptr<const Dataset> labelled_files(DatasetInfo info, std::vector<LabelledFile> files);

/// Pictures named by a list. Missing ones are reported together at the end.
class PictureList {
 public:
  PictureList(DatasetInfo& info, const DatasetOptions& options) : info_(info), skip_bad_(options.skip_bad) {}

  /// `where`: file and line of the list.
  void add(LabelledFile file, const std::string& where);
  /// The files that exist. IoError if more are missing than DatasetOptions::skip_bad allows.
  std::vector<LabelledFile> finish();

 private:
  DatasetInfo& info_;
  std::int64_t skip_bad_;
  std::vector<LabelledFile> files_;
  std::vector<std::string> missing_;
};

/// Leaves out, under `rule`, the pictures of `folder` whose names are not in `listed`, and warns of them.
void leave_out_unlisted(DatasetInfo& info, const std::filesystem::path& folder,
                        const std::set<std::string>& listed, const std::string& rule,
                        const std::function<bool(const std::string& name)>& of_part = {});

/// "first\n  second\n ...": at most ten lines, and the number of the others.
std::string first_ten(const std::vector<std::string>& lines);

/// The parts that a data set has besides the training part.
struct OwnParts {
  bool validation = false, test = true;
};
/// Selects the files of `options.split`. If the data set has that part, `files` are all of it. Otherwise
/// `files` are the training part and the split is taken from them: the same fraction of each class, or whole
/// persons if their folders identify at least ten. ConfigError if the data set lacks the part and its
/// fraction is 0.
std::shared_ptr<const Dataset> take_part(DatasetInfo info, const std::vector<LabelledFile>& files,
                                         const DatasetOptions& options, OwnParts own = {});

inline bool is_training(Split split) {
  return split == Split::train || split == Split::validation;
}

/// FER+'s votes for one picture: eight emotions, unknown, no face.
struct Votes {
  static constexpr int emotions = 8;
  std::array<int, 10> count{};
  bool named = false;
};
/// Parses the votes in fields[columns[0]], ...; DataError naming `where`.
Votes parse_votes(const std::vector<std::string_view>& fields, const std::array<std::size_t, 10>& columns,
                  const std::string& where);

/// The text of DatasetInfo::labels for that mode.
std::string vote_rule(LabelMode mode);
/// The label of a row of votes under DatasetOptions::label_mode.
struct VoteLabel {
  std::optional<std::int64_t> label{};
  std::string left_out{};  ///< the rule that left it out, if there is no label
  bool tied = false;       ///< other classes have as many votes
};
VoteLabel vote_label(const Votes& votes, LabelMode mode);
/// The votes of the eight emotions as probabilities.
std::vector<float> vote_distribution(const Votes& votes);
/// Warns of `tied` rows, whose label is the first of several classes with equal votes, and of rows left out.
void warn_of_votes(DatasetInfo& info, std::int64_t tied);
const std::vector<std::string>& ferplus_classes();

/// FER+'s picture folders (FER2013Train, FER2013Valid, FER2013Test, each with a label.csv).
std::shared_ptr<const Dataset> open_ferplus_folders(const DatasetOptions& options);

/// Runs body(i) for i = 0 .. n - 1 on all threads; rethrows the exception of the smallest i.
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
