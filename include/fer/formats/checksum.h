// Checksums: SHA-256 of whole files, to say which file a result came from, and CRC-32, to detect damage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace fer {

/// SHA-256 of a regular file as 64 hexadecimal digits, the same as sha256sum prints. IoError, naming `path`,
/// if the file cannot be read.
std::string file_sha256(const std::filesystem::path& path);

/// The CRC-32 of zip and PNG. To continue over several pieces, pass the previous result as `before`.
std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace fer
