// Whole files in and out of memory, and read-only mappings of large ones.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace fer::detail {

/// IoError naming the file if it cannot be opened or read.
std::vector<std::uint8_t> read_file(const std::filesystem::path& path);

/// Writes a file beside `path`, flushes it to the disk and renames it; IoError, leaving what was at `path`
/// and no rest of the attempt, if any step fails.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::uint8_t> bytes);

/// A file mapped into memory for reading.
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

/// The lines of a text, without their "\n" or "\r\n"; an empty last line is left out.
std::vector<std::string_view> split_lines(std::string_view text);
/// Without spaces, tabs and quotes at both ends.
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);
/// A whole decimal number; false if `text` is anything else or out of range.
bool parse_integer(std::string_view text, std::int64_t& value);

}  // namespace fer::detail
