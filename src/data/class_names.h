// Names of class folders: the mapping given by --class-names, and known words for expressions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fer::detail {

/// Names for class folders, given per folder or in the folders' order.
class ClassNames {
 public:
  /// From DatasetOptions::class_names; "" means none. IoError for a file that cannot be read. ConfigError for
  /// a folder named twice, two folders with the same name, an empty name, or a list that mixes both forms.
  explicit ClassNames(const std::string& spec);

  bool empty() const { return names_.empty(); }
  /// Whether names are given per folder and this folder is among them.
  bool names_folder(const std::string& folder) const;
  /// The names of these folders. ConfigError if names are given in order and their number differs.
  std::vector<std::string> of(const std::vector<std::string>& folders) const;
  /// Folders with a name here that are not among these.
  std::vector<std::string> without_folder(const std::vector<std::string>& folders) const;

 private:
  bool in_order() const { return !names_.empty() && names_[0].first.empty(); }

  std::vector<std::pair<std::string, std::string>> names_;  // folder ("": in order), name
};

/// Whether the word is a known name of an expression: "angry", "Happiness", "joy".
bool is_expression_word(std::string_view word);

}  // namespace fer::detail
