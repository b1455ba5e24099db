// Text files of data sets: plain or gzip, UTF-8 or UTF-16, with or without a byte order mark.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "data/file_io.h"

namespace fer::detail {

/// A text file as UTF-8 without a byte order mark. Plain files are mapped; others are decoded into memory,
/// gzip files to at most 512 MiB. IoError if it cannot be read. FormatError, naming the file and the cause,
/// if it is damaged or not a text: another archive, a web page, a Git LFS pointer, binary data.
class TextFile {
 public:
  explicit TextFile(const std::filesystem::path& path);

  std::string_view text() const { return text_; }

 private:
  MappedFile file_;
  std::string decoded_;
  std::string_view text_;
};

}  // namespace fer::detail
