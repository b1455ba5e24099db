// Names of class folders: the mapping that --class-names gives, and words known for expressions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fer::detail {

/// Names for class folders, by folder or in the folders' order.
class ClassNames {
 public:
  /// From DatasetOptions::class_names; "" gives none. IoError for a file that cannot be read; ConfigError for
  /// a folder named twice, two folders of one name, an empty name, or a list that mixes both ways.
  explicit ClassNames(const std::string& spec);

  bool empty() const { return names_.empty(); }
  /// Whether folders are named one by one, and this is one of them.
  bool names_folder(const std::string& folder) const;
  /// The names of these folders. ConfigError if the names are given in order and are not as many.
  std::vector<std::string> of(const std::vector<std::string>& folders) const;
  /// Folders that are named here and are not among these.
  std::vector<std::string> without_folder(const std::vector<std::string>& folders) const;

 private:
  bool in_order() const { return !names_.empty() && names_[0].first.empty(); }

  std::vector<std::pair<std::string, std::string>> names_;  // folder ("": in order), name
};

/// Whether the word is one that expressions are called by: "angry", "Happiness", "joy".
bool is_expression_word(std::string_view word);

}  // namespace fer::detail
