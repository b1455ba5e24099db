// Checks a data set before training: pictures per class and part, their sizes and colour, damaged files, what
// was left out and why, and duplicates.
#pragma once

#include <string>
#include <vector>

#include "fer/data/dataset.h"
#include "fer/data/examine.h"

namespace fer {

/// The range of the widths or heights of a part's pictures.
struct ExtentRange {
  int least = 0, median = 0, most = 0;
};

struct PartCheck {
  std::string problem;  ///< why this part cannot be opened; everything else is then empty
  Split split = Split::train;
  DatasetInfo info;
  std::int64_t grey = 0, colour = 0;
  ExtentRange width, height;
  std::vector<BadSample> damaged;
};

/// Pictures that are the same, or nearly.
struct DuplicateGroup {
  struct Member {
    std::size_t part = 0;  ///< of DataCheck::parts
    std::int64_t label = -1;
    std::string name;
  };
  std::vector<Member> members;
};

/// The pictures that two parts share, or the duplicates within one part.
struct SharedPictures {
  std::size_t first = 0, second = 0;  ///< of DataCheck::parts; the same: within one part
  std::int64_t groups = 0, of_first = 0, of_second = 0;
  std::int64_t other_label = 0;  ///< groups with more than one label
};

struct DataCheck {
  std::string dataset, folder, labels;
  std::vector<PartCheck> parts;
  std::vector<DuplicateGroup> exact, near;  ///< `near` holds the exact duplicates of its pictures, too
  bool finished = true;                     ///< false: ended by the progress function
  double seconds = 0;
};

/// Reads every picture of every part once, on all threads, and keeps 632 bytes of each until the end. The
/// result lists parts and pictures that cannot be opened or read. ConfigError for invalid options.
DataCheck check_data(const DatasetOptions& options, const ProgressFunction& progress = {});

/// Which parts share pictures; pairs that share none are left out.
std::vector<SharedPictures> shared_pictures(const DataCheck& check,
                                            const std::vector<DuplicateGroup>& groups);

/// Whether everything is there and could be opened and read.
bool is_sound(const DataCheck& check);
/// A readable summary; long lists are cut.
std::string to_text(const DataCheck& check);
/// Everything, with a "version".
std::string to_json(const DataCheck& check);

}  // namespace fer
