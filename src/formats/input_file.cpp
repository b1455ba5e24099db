#include "formats/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "fer/error.h"

namespace fer::detail {
namespace {

[[noreturn]] void cannot_read(const std::string& path, const std::string& reason) {
  throw IoError(concat("cannot read '", path, "': ", reason));
}

std::string last_error() {
  return std::system_category().message(errno);
}

}  // namespace

// O_NONBLOCK: opening a pipe without a writer returns at once, and the pipe is refused.
InputFile::InputFile(const std::filesystem::path& path)
    : path_(path.string()), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) cannot_read(path_, last_error());
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  const std::string reason = !known                     ? last_error()
                             : S_ISDIR(status.st_mode)  ? "Is a directory"
                             : S_ISFIFO(status.st_mode) ? "it is a pipe, not a file"
                             : !S_ISREG(status.st_mode) ? "it is a device, not a file"
                                                        : "";
  if (!reason.empty()) {
    ::close(descriptor_);
    cannot_read(path_, reason);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

void InputFile::read(std::span<std::byte> out, std::uint64_t position) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(position));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(path_, last_error());
    require<FormatError>(got > 0, path_, ": was truncated while it was read");
    out = out.subspan(static_cast<std::size_t>(got));
    position += static_cast<std::uint64_t>(got);
  }
}

}  // namespace fer::detail
