// Folders as people have them: what in them is a picture or a folder of pictures, and what is not.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace fer::detail {

/// What lies in one folder, each in its order by name.
struct FolderContents {
  std::vector<std::filesystem::path> folders, pictures;
  /// Everything else, and the rule that left it out: "hidden", ".gif", "a broken link".
  struct Other {
    std::filesystem::path path;
    std::string rule;
  };
  std::vector<Other> others;
};

/// Reads folders of one part of a data set, links followed. A folder that was read before under another name,
/// as a link that points upwards gives it, is among `others`. IoError for a folder that cannot be read.
class FolderTree {
 public:
  FolderContents read(const std::filesystem::path& folder);

 private:
  void leave_out_again(FolderContents& contents);

  std::set<std::filesystem::path> seen_;  // canonical
};

/// Names that systems and programs leave in folders: those that begin with a dot (.DS_Store, ._a.jpg,
/// .ipynb_checkpoints), __MACOSX, Thumbs.db, desktop.ini and their like.
bool is_hidden(const std::filesystem::path& path);
/// Sorted as numbers if all are, else by name.
void sort_names(std::vector<std::string>& names);

}  // namespace fer::detail
