// Tables of separated values: commas, semicolons or tabs, quoted fields, any line ends.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/text_file.h"

namespace fer::detail {

/// The fields of a record, without surrounding blanks and quotes. Separators within quotes are kept; a
/// doubled quote stays doubled (csv_text() halves it).
std::vector<std::string_view> csv_fields(std::string_view record, char separator = ',');
/// A field as text: doubled quotes become one.
std::string csv_text(std::string_view field);

/// A file of records, one per line unless a quoted field spans lines; blank lines are skipped. The separator
/// is whichever of comma, semicolon and tab is most frequent in the first record, or the one in Excel's line
/// "sep=;". DataError, naming file and line, for an unclosed quote.
class CsvFile {
 public:
  explicit CsvFile(const std::filesystem::path& path);

  const std::string& name() const { return name_; }
  std::size_t size() const { return records_.size(); }
  /// "FILE:LINE" of record i, for error messages.
  std::string where(std::size_t i) const;
  std::vector<std::string_view> fields(std::size_t i) const {
    return csv_fields(records_[i].text, separator_);
  }
  /// A number; a decimal comma is allowed if the separator is not a comma. None if it is not a number.
  std::optional<double> number(std::string_view field) const;

 private:
  struct Record {
    std::string_view text;
    std::size_t line;
  };
  TextFile file_;
  std::string name_;
  char separator_ = ',';
  std::vector<Record> records_;
};

/// A CsvFile whose record 0 names the columns, in upper or lower case.
class CsvTable {
 public:
  /// `header`: "name,name,..." for files that may lack a header; record 0 is then a row. "": the file must
  /// have one. DataError for a file without records.
  explicit CsvTable(const std::filesystem::path& path, const std::string& header = "");

  const CsvFile& file() const { return file_; }
  /// Rows below the header.
  std::size_t size() const { return file_.size() - first_; }
  std::string where(std::size_t row) const { return file_.where(row + first_); }
  /// The fields of a row. DataError, naming its line, unless there are as many as in the header.
  std::vector<std::string_view> fields(std::size_t row) const;
  /// The first column with one of these names (in lower case).
  std::optional<std::size_t> find(const std::vector<std::string_view>& names) const;
  /// DataError, listing the header's columns, if no column has this name.
  std::size_t column(std::string_view name) const;

 private:
  CsvFile file_;
  std::size_t first_ = 1;  // record of row 0
  std::vector<std::string> header_;
};

}  // namespace fer::detail
