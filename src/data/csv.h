// Tables of separated values: commas, semicolons or tabs, quoted fields, any line ends.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/text_file.h"

namespace fer::detail {

/// The fields of a record, without blanks around them and without their quotes. Separators within quotes are
/// kept; a doubled quote stays doubled (csv_text()).
std::vector<std::string_view> csv_fields(std::string_view record, char separator = ',');
/// A field as text: doubled quotes become one.
std::string csv_text(std::string_view field);

/// A file of records, one a line unless a quoted field goes on in the next; blank lines are no records. The
/// separator is the one of comma, semicolon and tab that the first record has most of, or what Excel's line
/// "sep=;" says. DataError, naming file and line, for a quote that is never closed.
class CsvFile {
 public:
  explicit CsvFile(const std::filesystem::path& path);

  const std::string& name() const { return name_; }
  std::size_t size() const { return records_.size(); }
  /// "FILE:LINE" of record i, for errors.
  std::string where(std::size_t i) const;
  std::vector<std::string_view> fields(std::size_t i) const {
    return csv_fields(records_[i].text, separator_);
  }
  /// A number, with a decimal comma where commas do not separate; nothing if it is none.
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

/// A CsvFile whose record 0 names the columns, in capitals or not.
class CsvTable {
 public:
  /// `header`: "name,name,..." of files that may come without theirs, which is then no record; "": it must be
  /// there. DataError for a file without a record.
  explicit CsvTable(const std::filesystem::path& path, const std::string& header = "");

  const CsvFile& file() const { return file_; }
  /// Rows below the header.
  std::size_t size() const { return file_.size() - first_; }
  std::string where(std::size_t row) const { return file_.where(row + first_); }
  /// The fields of a row; DataError naming its line unless it has as many as the header.
  std::vector<std::string_view> fields(std::size_t row) const;
  /// The first column that has one of these names (in lower case).
  std::optional<std::size_t> find(const std::vector<std::string_view>& names) const;
  /// DataError listing the header's columns if there is none of this name.
  std::size_t column(std::string_view name) const;

 private:
  CsvFile file_;
  std::size_t first_ = 1;  // record of row 0
  std::vector<std::string> header_;
};

}  // namespace fer::detail
