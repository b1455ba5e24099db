#include "fer/formats/atomic_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "fer/error.h"
#include "fer/stop.h"

namespace fer {
namespace {

namespace fs = std::filesystem;

std::string reason_of(int error) {
  return std::system_category().message(error);
}

[[noreturn]] void fail(std::string_view verb, const fs::path& path, int error) {
  throw IoError(concat("cannot ", verb, " '", path.string(), "': ", reason_of(error)));
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  /// Network file systems may report a failed write only at close().
  bool close() { return ::close(std::exchange(fd_, -1)) == 0; }

 private:
  int fd_;
};

/// Unlinks the file on destruction unless it was kept.
class TemporaryFile {
 public:
  explicit TemporaryFile(fs::path path) : path_(std::move(path)) {}
  ~TemporaryFile() {
    if (!kept_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const fs::path& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  fs::path path_;
  bool kept_ = false;
};

/// The file to replace: `path`, or the target of its link. It must be a regular file: renaming over /dev/null
/// would destroy the device.
fs::path resolve_target(const fs::path& path) {
  std::error_code error;
  // A missing file also sets the error; it simply is not a link.
  const bool is_link = fs::is_symlink(path, error);
  error.clear();
  fs::path target = is_link ? fs::weakly_canonical(path, error) : path;
  if (error) fail("write", path, error.value());
  const fs::file_status status = fs::status(target, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    throw IoError(concat("cannot write '", path.string(), "': it exists and is not a regular file"));
  }
  return target;
}

/// The process id at the end of "<name>.tmp.<pid>"; 0 if `entry` has another form.
long writer_of(const std::string& entry, const std::string& name) {
  const std::string prefix = name + ".tmp.";
  if (entry.compare(0, prefix.size(), prefix) != 0) return 0;
  long pid = 0;
  const char* end = entry.data() + entry.size();
  const auto parsed = std::from_chars(entry.data() + prefix.size(), end, pid);
  return parsed.ec == std::errc() && parsed.ptr == end ? pid : 0;
}

/// A killed writer leaves its temporary file behind; the next writer of the same target removes it.
void remove_abandoned(const fs::path& target) {
  std::error_code error;
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const long pid = writer_of(it->path().filename().string(), target.filename().string());
    if (pid > 0 && ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH) ::unlink(it->path().c_str());
  }
}

void write_all(int fd, std::span<const std::byte> bytes, const fs::path& path) {
  constexpr std::size_t most = std::size_t{1} << 30;  // Linux writes at most 2 GiB per call
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), std::min(bytes.size(), most));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

/// Makes the rename itself survive a power cut. Some file systems refuse this; the file is complete anyway.
void sync_folder(const fs::path& target) {
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) ::fsync(fd.get());
}

/// Returns when the pipe has bytes or its writers are gone. IoError when this process is asked to stop.
void wait_for_pipe(int fd, const fs::path& path) {
  constexpr int milliseconds = 100;  // the signal may have gone to another thread
  pollfd waiting{fd, POLLIN, 0};
  while (::poll(&waiting, 1, milliseconds) <= 0) {
    require<IoError>(stop_requested() == 0, "cannot read '", path.string(),
                     "': stopped while waiting for data from this pipe");
  }
}

}  // namespace

void write_file_atomically(const fs::path& path, std::span<const std::span<const std::byte>> parts) {
  const fs::path target = resolve_target(path);
  remove_abandoned(target);
  const fs::path beside = target.string() + ".tmp." + std::to_string(::getpid());
  Descriptor fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!fd.valid()) fail("write", path, errno);
  TemporaryFile temporary(beside);
  for (const auto& part : parts) write_all(fd.get(), part, path);
  // EINVAL: the file system has no fsync; the bytes are written anyway.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != EROFS) fail("write", path, errno);
  if (!fd.close()) fail("write", path, errno);
  if (::rename(beside.c_str(), target.c_str()) != 0) fail("write", path, errno);
  temporary.keep();
  sync_folder(target);
}

void require_writable_file(const fs::path& path) {
  const fs::path target = resolve_target(path);
  const fs::path beside = target.string() + ".tmp." + std::to_string(::getpid());
  const Descriptor fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!fd.valid()) fail("write", path, errno);
  const TemporaryFile temporary(beside);
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  const std::span<const std::byte> part = std::as_bytes(std::span(text));
  write_file_atomically(path, std::span(&part, 1));
}

std::vector<std::byte> read_file(const fs::path& path, std::size_t most) {
  // O_NONBLOCK: waiting for a pipe happens in wait_for_pipe().
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) fail("read", path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) fail("read", path, errno);
  if (S_ISDIR(info.st_mode)) fail("read", path, EISDIR);
  const bool pipe = S_ISFIFO(info.st_mode);
  require<IoError>(pipe || S_ISREG(info.st_mode), "cannot read '", path.string(),
                   "': it is a device, not a file");
  const auto require_size = [&](std::size_t size) {
    require<IoError>(size <= most, "cannot read '", path.string(), "': it is larger than ", most, " bytes");
  };
  require_size(static_cast<std::size_t>(info.st_size));
  // The size is only a hint (a pipe has none, a file may grow). One extra byte detects the end in one read.
  std::vector<std::byte> bytes(static_cast<std::size_t>(info.st_size) + 1);
  std::size_t filled = 0;
  for (;;) {
    if (pipe) wait_for_pipe(fd.get(), path);
    const ssize_t got = ::read(fd.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) fail("read", path, errno);
    filled += static_cast<std::size_t>(got);
    if (got == 0) break;
    require_size(filled);
    if (filled == bytes.size()) bytes.resize(std::max<std::size_t>(2 * filled, 4096));
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace fer
