// Checksums by libmd and zlib.
#include "fer/formats/checksum.h"

#include <sha2.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <vector>

#include "formats/input_file.h"

namespace fer {

std::string file_sha256(const std::filesystem::path& path) {
  const detail::InputFile file(path);
  SHA2_CTX context;
  ::SHA256Init(&context);
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < file.size();) {
    const auto part = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), file.size() - at));
    file.read(part, at);
    ::SHA256Update(&context, reinterpret_cast<const std::uint8_t*>(part.data()), part.size());
    at += part.size();
  }
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  ::SHA256Final(digest.data(), &context);
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before) {
  if (bytes.empty()) return before;  // given a null pointer, zlib would return the initial value
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace fer
