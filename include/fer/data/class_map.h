// Matches two lists of classes by the meaning of their names: `anger` of one data set is `angry` of another,
// and `1_Surprise` is `surprised`.
//
//   const fer::ClassMap map = fer::match_classes({"the data set", {"angry", "happy"}},
//                                                {"the network", {"happiness", "anger", "fear"}});
//   map.common;       // {0, 1}, {1, 0}
//   map.only_second;  // "fear"
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fer/data/dataset.h"

namespace fer {

/// The canonical spelling of a class name: capitals, spaces, hyphens and leading numbers are ignored, and the
/// usual words for the eight expressions become those of FER+ ("Angry" becomes "anger").
std::string canonical_class(std::string_view name);

/// The position of the class that means neutral; -1 if there is none.
int neutral_class(const std::vector<std::string>& names);

/// Class names in order, and what messages call their owner: "the network".
struct ClassList {
  std::string owner;
  std::vector<std::string> names;
};

struct ClassMap {
  struct Pair {
    std::int64_t first, second;  ///< positions of one class in the two lists
    bool operator==(const Pair&) const = default;
  };
  std::vector<Pair> common;                          ///< in the order of the first list
  std::vector<std::string> only_first, only_second;  ///< classes of one list only, in its own spelling

  /// Whether the lists have the same classes in the same order, in any spelling.
  bool identical() const;
  /// For each class of the first list, its position in the second; -1 if it is not there.
  std::vector<std::int64_t> second_of_first() const;
};

/// DataError, naming the classes, if several classes of one list match one class of the other, unless both
/// lists spell them the same.
ClassMap match_classes(const ClassList& first, const ClassList& second);

/// The indices of the samples whose class c exists in the other list, that is, to[c] >= 0.
std::vector<std::int64_t> samples_with_place(const Dataset& dataset, const std::vector<std::int64_t>& to);
/// `dataset` with the classes `names`; its class c becomes to[c]. Soft labels are mapped too; the share of
/// classes with to[c] < 0 is spread over the others. ConfigError for a sample whose class has to[c] < 0.
std::shared_ptr<const Dataset> relabelled(std::shared_ptr<const Dataset> dataset,
                                          std::vector<std::string> names, std::vector<std::int64_t> to);

/// "angry, disgust, fear".
std::string class_list_text(const std::vector<std::string>& names);

}  // namespace fer
