// Checksums: of whole files, to say which file a result came from, and of tensors, to notice damage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace fer {

/// SHA-256 of a regular file, as 64 hexadecimal digits, like sha256sum's. IoError, naming `path`, if it
/// cannot be read.
std::string file_sha256(const std::filesystem::path& path);

/// CRC-32 of zip and PNG; `before` is that of the bytes before these.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace fer
