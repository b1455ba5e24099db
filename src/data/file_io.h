// Read-only mappings of large files, and functions that split the texts of data sets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace fer::detail {

/// The bytes of a file as numbers.
inline std::span<const std::uint8_t> numbers_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

/// A file mapped into memory for reading. IoError, naming it, if it cannot be read.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view text() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The lines of a text without their "\n" or "\r\n"; an empty last line is omitted.
std::vector<std::string_view> split_lines(std::string_view text);
/// Removes spaces, tabs and quotes at both ends.
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);
/// Parses a whole decimal number; false if `text` is anything else or out of range.
bool parse_integer(std::string_view text, std::int64_t& value);

}  // namespace fer::detail
