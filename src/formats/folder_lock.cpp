#include "fer/formats/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "fer/error.h"

namespace fer {
namespace {

int lock_without_waiting(int fd) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder)
    : fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  const auto reason = [](int error) { return std::system_category().message(error); };
  require<IoError>(fd_ >= 0, "cannot open the folder '", folder.string(), "': ", reason(errno));
  const int error = lock_without_waiting(fd_);
  if (error == EWOULDBLOCK) {
    ::close(fd_);
    throw IoError(concat("another fer is writing in the folder '", folder.string(),
                         "'; wait until it has ended, or name another folder"));
  }
  if (error != 0) {
    missing_ = concat("the folder '", folder.string(), "' cannot be locked (", reason(error),
                      "); make sure that no other fer writes there");
  }
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), missing_(std::move(other.missing_)) {}

FolderLock::~FolderLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace fer
