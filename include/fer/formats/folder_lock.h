// One writer per folder: two runs in the same folder would mix their checkpoints and logs.
#pragma once

#include <filesystem>
#include <string>

namespace fer {

/// Locks a folder for this process until the object is destroyed or the process ends in any way. The lock
/// (flock) is on the folder itself, so nothing is left behind. Readers need no lock.
class FolderLock {
 public:
  /// IoError, naming the folder, if it is held by someone else or cannot be opened.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;

  /// Why the folder could not be locked although no one else holds it: some network file systems cannot lock
  /// folders. Empty if it is locked.
  const std::string& missing() const { return missing_; }

 private:
  int fd_;
  std::string missing_;
};

}  // namespace fer
