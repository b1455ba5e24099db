#include "data/sets/csv.h"

#include <algorithm>
#include <charconv>

#include "fer/error.h"

namespace fer::detail {
namespace {

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string_view without_quotes(std::string_view field) {
  field = without_blanks(field);
  if (field.size() >= 2 && field.front() == '"' && field.back() == '"') {
    field.remove_prefix(1);
    field.remove_suffix(1);
  }
  return without_blanks(field);
}

/// The position of the next separator outside quotes, beginning at `start`.
std::size_t next_separator(std::string_view record, std::size_t start, char separator) {
  bool quoted = false;
  for (std::size_t i = start; i < record.size(); ++i) {
    if (record[i] == '"') quoted = !quoted;
    if (record[i] == separator && !quoted) return i;
  }
  return std::string_view::npos;
}

/// Most fields have no quote, so memchr finds their end.
std::size_t field_end(std::string_view record, std::size_t start, char separator) {
  const std::size_t end = record.find(separator, start);
  const std::string_view field = record.substr(start, end == std::string_view::npos ? end : end - start);
  return field.find('"') == std::string_view::npos ? end : next_separator(record, start, separator);
}

char likely_separator(std::string_view header) {
  char best = ',';
  std::size_t most_fields = 1;
  for (char separator : {',', ';', '\t'}) {
    if (const std::size_t n = csv_fields(header, separator).size(); n > most_fields) {
      most_fields = n;
      best = separator;
    }
  }
  return best;
}

}  // namespace

std::vector<std::string_view> csv_fields(std::string_view record, char separator) {
  std::vector<std::string_view> fields;
  for (std::size_t start = 0;;) {
    const std::size_t end = field_end(record, start, separator);
    fields.push_back(without_quotes(record.substr(start, end == std::string_view::npos ? end : end - start)));
    if (end == std::string_view::npos) return fields;
    start = end + 1;
  }
}

std::string csv_text(std::string_view field) {
  std::string text;
  for (std::size_t i = 0; i < field.size(); ++i) {
    text.push_back(field[i]);
    if (field[i] == '"' && i + 1 < field.size() && field[i + 1] == '"') ++i;
  }
  return text;
}

CsvFile::CsvFile(const std::filesystem::path& path) : file_(path), name_(path.string()) {
  std::string_view text = file_.text();
  const char line_end = text.find('\n') == std::string_view::npos ? '\r' : '\n';
  std::size_t line = 1;
  bool separator_given = false;
  while (!text.empty()) {
    const std::size_t first_line = line;
    bool quoted = false;
    std::size_t end = 0;
    do {  // a quoted field may hold line ends
      const std::size_t next = text.find(line_end, end);
      const std::size_t stop = std::min(next, text.size());
      for (std::size_t quote = text.substr(0, stop).find('"', end); quote != std::string_view::npos;
           quote = text.substr(0, stop).find('"', quote + 1))
        quoted = !quoted;
      require<DataError>(!quoted || next != std::string_view::npos, name_, ":", first_line,
                         ": a quote is opened and never closed");
      end = std::min(stop + 1, text.size());
      ++line;
    } while (quoted);
    std::string_view record = text.substr(0, end);  // a tab at its end may be a separator
    record = record.substr(0, record.find_last_not_of("\r\n") + 1);
    text.remove_prefix(end);
    if (without_blanks(record).empty()) continue;
    if (records_.empty() && !separator_given && record.size() == 5 && to_lower(record).starts_with("sep=")) {
      separator_ = record[4];
      separator_given = true;
      continue;
    }
    records_.push_back({record, first_line});
  }
  if (!separator_given && !records_.empty()) separator_ = likely_separator(records_[0].text);
}

std::string CsvFile::where(std::size_t i) const {
  return concat(name_, ":", records_[i].line);
}

std::optional<double> CsvFile::number(std::string_view field) const {
  std::string text(field);
  if (separator_ != ',') std::replace(text.begin(), text.end(), ',', '.');
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

CsvTable::CsvTable(const std::filesystem::path& path, const std::string& header) : file_(path) {
  require<DataError>(file_.size() > 0, file_.name(), ": is empty");
  auto names = file_.fields(0);
  const auto usual = csv_fields(header);
  if (!header.empty() && names.size() == usual.size() && to_lower(names[0]) != to_lower(usual[0])) {
    names = usual;
    first_ = 0;
  }
  header_.assign(names.begin(), names.end());
}

std::vector<std::string_view> CsvTable::fields(std::size_t row) const {
  auto fields = file_.fields(row + first_);
  require<DataError>(fields.size() == header_.size(), where(row), ": expected ", header_.size(),
                     " fields, got ", fields.size());
  return fields;
}

std::optional<std::size_t> CsvTable::find(const std::vector<std::string_view>& names) const {
  for (std::size_t i = 0; i < header_.size(); ++i) {
    if (std::find(names.begin(), names.end(), to_lower(header_[i])) != names.end()) return i;
  }
  return std::nullopt;
}

std::size_t CsvTable::column(std::string_view name) const {
  if (const auto found = find({to_lower(name)})) return *found;
  constexpr std::size_t shown = 12;
  std::string columns;
  for (std::size_t i = 0; i < std::min(header_.size(), shown); ++i)
    columns += concat(i == 0 ? "" : ", ", "'", header_[i].substr(0, 40), "'");
  if (header_.size() > shown) columns += concat(" and ", header_.size() - shown, " more");
  throw DataError(concat(file_.where(0), ": the header has no column '", name, "'; it has ", columns));
}

}  // namespace fer::detail
