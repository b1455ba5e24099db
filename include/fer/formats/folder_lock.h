// One writer a folder: two trainings into the same one would mix their checkpoints and logs.
#pragma once

#include <filesystem>
#include <string>

namespace fer {

/// Holds a folder for this process until it is destroyed, or the process ends in whatever way: the lock
/// (flock) is on the folder itself, so nothing is left behind. Who only reads needs none.
class FolderLock {
 public:
  /// IoError, naming the folder, if it is held by someone else or cannot be opened.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;

  /// Why the folder is not held, although nobody else holds it: some network file systems lock no folders.
  /// Empty if it is.
  const std::string& missing() const { return missing_; }

 private:
  int fd_;
  std::string missing_;
};

}  // namespace fer
