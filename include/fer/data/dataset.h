// Data sets: one interface to numbered samples (a picture and its expression), and readers of published
// layouts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fer/data/faces.h"
#include "fer/data/image.h"

namespace fer {

/// - validation: the data set's own, or else held out from the training part
///   (DatasetOptions::validation_fraction).
/// - test: the data set's own, or else held out from the training part (DatasetOptions::test_fraction). For
///   ferplus and fer2013 it is PrivateTest, or PublicTest in copies without PrivateTest.
/// - public_test, private_test: only ferplus and fer2013.
/// DatasetInfo::warnings say which.
enum class Split : std::uint8_t { train, validation, test, public_test, private_test };
std::string_view name_of(Split split);
/// From "train", "validation", "test", "public_test", "private_test"; ConfigError otherwise.
Split parse_split(std::string_view name);

/// How FER+ votes become labels. Votes are of ten columns: eight emotions, unknown, no face (NF).
/// majority: the rule of FER+'s authors: single votes are ignored, and the winner needs more than half of the
///           remaining votes; rows won by unknown or NF are dropped.
/// argmax:   the column with the most votes (the first on a tie), for rows that have an image name; rows won
///           by unknown or NF are dropped.
/// soft:     the rows of argmax, with the votes of the eight emotions as a distribution (single votes are
///           ignored, unless there are no others).
enum class LabelMode : std::uint8_t { majority, argmax, soft };
std::string_view name_of(LabelMode mode);
LabelMode parse_label_mode(std::string_view name);

struct DatasetOptions {
  std::string name = "faces";      ///< one of dataset_names()
  std::filesystem::path folder{};  ///< unused by "faces"
  Split split = Split::train;
  LabelMode label_mode = LabelMode::majority;  ///< ferplus only
  double validation_fraction = 0.1;            ///< of the training part, by class or by person; 0 to 0.5
  double test_fraction = 0.2;                  ///< of a data set without a test part of its own; 0 to 0.5
  std::uint64_t seed = 1;                      ///< of the parts held out, and of the drawn faces
  /// folder only: names for the class folders, "0=angry,1=disgust", or "angry,disgust" in the folders' order,
  /// or a file of such lines. Folders without a name here keep their own.
  std::string class_names{};
  std::int64_t skip_bad = 0;  ///< pictures of a part that may be missing or damaged, and are left out
  // faces only
  std::int64_t train_identities = 300, test_identities = 60, faces_per_identity = 21;
  int face_size = 112;
  bool operator==(const DatasetOptions&) const = default;
};

/// Files, folders or rows of a data set that are not used, grouped by the rule that excluded them.
struct LeftOut {
  std::string rule;  ///< "no majority", "hidden", ".gif"
  std::int64_t count = 0;
  std::vector<std::string> examples;  ///< the first five
};

/// What is known of an opened data set.
struct DatasetInfo {
  std::string name;
  Split split = Split::train;
  std::vector<std::string> class_names;
  int neutral = -1;                        ///< index of the neutral class, -1: none
  std::vector<std::int64_t> class_counts;  ///< samples of each class in this split
  int channels = 3;                        ///< 1 if every picture is grey
  std::string labels = "published";        ///< where they come from: "class folders", "majority of the votes"
  bool soft_labels = false, has_landmarks = false, has_arousal = false;
  std::vector<std::string> warnings;  ///< for the caller to show: classes without samples, ignored rows
  std::vector<LeftOut> left_out;      ///< of this part, including expected ones such as hidden files
};

struct Sample {
  Image image;  ///< of any size, grey or RGB
  std::int64_t label = -1;
  std::vector<float> target;  ///< soft labels only: K probabilities
  std::optional<float> arousal;
  std::optional<Landmarks> landmarks;
  std::string name;  ///< the file, or the row of a csv file
};

/// Samples 0 .. size() - 1 of one split. Every function may be called from several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  const DatasetInfo& info() const { return info_; }
  int classes() const { return static_cast<int>(info_.class_names.size()); }
  virtual std::int64_t size() const = 0;
  /// The label without reading the picture; of soft labels, the most probable class.
  virtual std::int64_t label(std::int64_t i) const = 0;
  /// The file, or the row of a csv file.
  virtual std::string name(std::int64_t i) const = 0;
  /// Reads sample i. IoError, FormatError: its file is missing or damaged.
  virtual Sample sample(std::int64_t i) const = 0;
  /// Whether sample() reads a file, which may be damaged, and not memory.
  virtual bool reads_files() const { return false; }

 protected:
  DatasetInfo info_;
};

/// "rafdb", "ferplus", "fer2013", "affectnet7", "affectnet8", "folder", "faces".
const std::vector<std::string>& dataset_names();

/// Opens a data set: reads labels and checks that the files are there. Picture files are read later
/// (examine() reads them all). docs/data.md has the layouts. ConfigError: unknown name or option. IoError:
/// missing folder or file. FormatError: a list that is not text. DataError: contents that contradict the
/// layout (file, line, expected and found).
std::shared_ptr<const Dataset> open_dataset(const DatasetOptions& options);

/// The samples of `dataset` with the given indices, in that order (a part of it, or a subset to overfit).
std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> dataset,
                                      std::vector<std::int64_t> indices);

/// Whether every picture is grey (is_grey). Reads pictures on all threads until one shows colour. If none
/// does, IoError or FormatError for a picture that cannot be read.
bool all_grey(const Dataset& dataset);

/// A sample that cannot be read, and why; the reason names its file.
struct BadSample {
  std::int64_t index = 0;
  std::string reason;
};
/// `dataset` without the bad samples, which its warnings and left_out then name. DataError if nothing is
/// left.
std::shared_ptr<const Dataset> without(std::shared_ptr<const Dataset> dataset,
                                       const std::vector<BadSample>& bad);

/// The given picture files without labels (label -1), for prediction.
std::shared_ptr<const Dataset> picture_files(std::vector<std::filesystem::path> files);

}  // namespace fer
