// A regular file, open for reading. Pipes, which could block the reader, and devices, which may have no end,
// are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace fer::detail {

class InputFile {
 public:
  /// IoError "cannot read 'PATH': REASON" if it cannot be opened or is a folder, a pipe or a device.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  int descriptor() const { return descriptor_; }
  std::uint64_t size() const { return size_; }
  /// Fills `out` with the bytes from `position` on. FormatError if the file has become too short.
  void read(std::span<std::byte> out, std::uint64_t position) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace fer::detail
