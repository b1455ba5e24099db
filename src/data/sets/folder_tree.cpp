#include "data/sets/folder_tree.h"

#include <algorithm>

#include "data/file_io.h"
#include "fer/data/image.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

/// Decides by the extension; without one, by content. Other extensions, as of copies and notes, are not
/// pictures.
bool is_sample(const fs::path& path) {
  return is_picture_name(path) || (!path.has_extension() && is_picture_file(path));
}

/// Why an entry that is neither a folder nor a picture to read is left out.
std::string rule_of(const fs::directory_entry& entry) {
  std::error_code error;
  const fs::file_status status = entry.status(error);
  if (!fs::exists(status)) return "a broken link";
  if (!fs::is_regular_file(status)) return "not a regular file";
  const std::string extension = to_lower(entry.path().extension().string());
  return extension.empty() ? "without an ending" : extension;
}

}  // namespace

FolderContents FolderTree::read(const fs::path& folder) {
  std::error_code error;
  FolderContents contents;
  seen_.insert(fs::canonical(folder, error));
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code unreadable;
    const fs::path& path = entry->path();
    if (is_hidden(path)) {
      contents.others.push_back({path, "hidden"});
    } else if (entry->is_directory(unreadable)) {
      contents.folders.push_back(path);
    } else if (entry->is_regular_file(unreadable) && is_sample(path)) {
      contents.pictures.push_back(path);
    } else {
      contents.others.push_back({path, rule_of(*entry)});
    }
  }
  require<IoError>(!error, "cannot read the folder '", folder.string(), "': ", error.message());
  std::sort(contents.folders.begin(), contents.folders.end());
  std::sort(contents.pictures.begin(), contents.pictures.end());
  std::sort(contents.others.begin(), contents.others.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  leave_out_again(contents);
  return contents;
}

void FolderTree::leave_out_again(FolderContents& contents) {
  std::error_code ignored;
  const auto is_link = [&](const fs::path& path) { return fs::is_symlink(path, ignored); };
  std::set<fs::path> repeated;
  for (bool links : {false, true}) {  // real folders before links to them
    for (const fs::path& path : contents.folders) {
      if (is_link(path) == links && !seen_.insert(fs::canonical(path, ignored)).second) repeated.insert(path);
    }
  }
  std::erase_if(contents.folders, [&](const fs::path& path) { return repeated.contains(path); });
  for (const fs::path& path : repeated) contents.others.push_back({path, "a link to a folder read before"});
}

bool is_hidden(const fs::path& path) {
  const std::string name = to_lower(path.filename().string());
  for (const char* known : {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin",
                            "system volume information", "lost+found"}) {
    if (name == known) return true;
  }
  return name.starts_with('.');
}

void sort_names(std::vector<std::string>& names) {
  std::int64_t number = 0;
  const bool numbers = std::all_of(names.begin(), names.end(),
                                   [&](const std::string& name) { return parse_integer(name, number); });
  const auto value = [](const std::string& name) {
    std::int64_t parsed = 0;
    parse_integer(name, parsed);
    return parsed;
  };
  std::sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
    return numbers && value(a) != value(b) ? value(a) < value(b) : a < b;
  });
}

}  // namespace fer::detail
