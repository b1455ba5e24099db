// Atomic file writes: the data goes to a temporary file beside the target, is flushed to disk, and is renamed
// to the target. A kill, a full disk or an unwritable folder leaves the previous file unchanged.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace fer {

/// Writes the concatenation of `parts` to `path` through `path.tmp.<pid>`, and removes such files left by
/// writers that are no longer alive. A symbolic link is followed, so that it stays a link. IoError, naming
/// `path` and the system's reason, if anything fails; `path` is then unchanged and nothing is left beside it.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> parts);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// Throws the error that writing `path` would throw now, but writes nothing. Call it before a long
/// computation.
void require_writable_file(const std::filesystem::path& path);

/// The whole file, or all that comes through a pipe, which stop.h cuts short. IoError, naming `path` and the
/// reason, if it cannot be opened or read, is a device, which may have no end, or has more than `most` bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path,
                                 std::size_t most = std::numeric_limits<std::size_t>::max());

}  // namespace fer
