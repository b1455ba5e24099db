// Reads users' folders: separates pictures and folders of pictures from other entries.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace fer::detail {

/// The contents of one folder, each list sorted by name.
struct FolderContents {
  std::vector<std::filesystem::path> folders, pictures;
  /// Everything else, and the rule that left it out: "hidden", ".gif", "a broken link".
  struct Other {
    std::filesystem::path path;
    std::string rule;
  };
  std::vector<Other> others;
};

/// Reads the folders of one part of a data set and follows links. A folder that was already read under
/// another name (a link to a parent, for example) goes to `others`. IoError for a folder that cannot be read.
class FolderTree {
 public:
  FolderContents read(const std::filesystem::path& folder);

 private:
  void leave_out_again(FolderContents& contents);

  std::set<std::filesystem::path> seen_;  // canonical paths
};

/// Names that systems and programs leave in folders: names that begin with a dot (.DS_Store, ._a.jpg,
/// .ipynb_checkpoints), __MACOSX, Thumbs.db, desktop.ini and the like.
bool is_hidden(const std::filesystem::path& path);
/// Sorts as numbers if all names are numbers, else by name.
void sort_names(std::vector<std::string>& names);

}  // namespace fer::detail
