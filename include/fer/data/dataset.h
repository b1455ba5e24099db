// Data sets: numbered samples of a picture and its expression, behind one interface, in their published
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

/// `validation` is carved from the training part (DatasetOptions::validation_fraction); `test` is the
/// published test part: for ferplus and fer2013 PrivateTest, or PublicTest (said in the warnings) where a
/// copy lacks it.
enum class Split : std::uint8_t { train, validation, test, public_test, private_test };
std::string_view name_of(Split split);
/// From "train", "validation", "test", "public_test", "private_test"; ConfigError otherwise.
Split parse_split(std::string_view name);

/// How FER+ votes become labels. Votes are of ten columns: eight emotions, unknown, no face (NF).
/// majority: its authors' rule: single votes count as none, the winner needs more than half of what is left;
///           rows won by unknown or NF are dropped.
/// argmax:   the column of most votes (the first of equals) of rows that have an image name; the same are
/// dropped. soft:     the rows of argmax with the votes of the eight emotions as a distribution (single votes
/// count as
///           none, unless nothing else is there).
enum class LabelMode : std::uint8_t { majority, argmax, soft };
std::string_view name_of(LabelMode mode);
LabelMode parse_label_mode(std::string_view name);

struct DatasetOptions {
  std::string name;              ///< one of dataset_names()
  std::filesystem::path folder;  ///< unused by "faces"
  Split split = Split::train;
  LabelMode label_mode = LabelMode::majority;  ///< ferplus only
  double validation_fraction = 0;  ///< of the training part, by class (faces: by identity); 0 to 0.5
  std::uint64_t seed = 1;          ///< of the validation split, and of the drawn faces
  // faces only
  std::int64_t train_identities = 400, test_identities = 100, faces_per_identity = 21;
  int face_size = 112;
};

/// What is known of an opened data set.
struct DatasetInfo {
  std::string name;
  Split split = Split::train;
  std::vector<std::string> class_names;
  int neutral = -1;                        ///< index of the neutral class, -1: none
  std::vector<std::int64_t> class_counts;  ///< samples of each class in this split
  int channels = 3;                        ///< 1 if every picture is grey
  bool soft_labels = false, has_landmarks = false, has_arousal = false;
  std::vector<std::string> warnings;  ///< classes without samples, rows left aside: for the caller to show
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

 protected:
  DatasetInfo info_;
};

/// "rafdb", "ferplus", "fer2013", "affectnet7", "affectnet8", "folder", "faces".
const std::vector<std::string>& dataset_names();

/// Opens a data set: reads labels and checks that the files are there; pictures in files are read later.
/// ConfigError: unknown name or option; IoError: missing folder or file; DataError: what is in them
/// contradicts the layout (file, line, what was expected and what was found).
std::shared_ptr<const Dataset> open_dataset(const DatasetOptions& options);

/// The samples of `dataset` with the given numbers, in their order (a part of it, or a subset to overfit).
std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> dataset,
                                      std::vector<std::int64_t> indices);

/// Whether every picture shows no colour (is_grey). Reads them, on all threads, up to one that does. If none does,
/// IoError or FormatError for one that cannot be read.
bool all_grey(const Dataset& dataset);

/// Pictures alone, without labels (label -1): every PNG and JPEG file given, for prediction.
std::shared_ptr<const Dataset> picture_files(std::vector<std::filesystem::path> files);

}  // namespace fer
