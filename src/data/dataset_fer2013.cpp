// FER2013 (Goodfellow et al., 2013) with its own labels, and FER+, which joins votes to the same rows. Read
// from fer2013.csv (emotion,pixels,Usage) or Kaggle's icml_face_data.csv (emotion, Usage, pixels), and
// fer2013new.csv.
//
// The csv file is mapped and its rows are parsed by all threads; only the pixels of the wanted part are kept,
// a byte each.
#include <algorithm>
#include <cstring>

#include "data/dataset_parts.h"
#include "data/file_io.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

constexpr int side = 48, pixel_count = side * side;
enum class Usage : std::uint8_t { training, public_test, private_test };

/// The csv file's lines cut into fields, pixels not yet read.
struct Table {
  explicit Table(const std::filesystem::path& path) : file(path), name(path.string()) {}

  MappedFile file;
  std::string name;
  std::vector<std::string_view> pixels;
  std::vector<std::int64_t> emotion;
  std::vector<Usage> usage;

  /// For errors: the header is line 1.
  std::string where(std::int64_t row) const { return concat(name, ":", row + 2); }
};

std::size_t column(const std::vector<std::string_view>& header, std::string_view name,
                   const std::string& file) {
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (to_lower(header[i]) == name) return i;
  }
  throw DataError(concat(file, ":1: the header has no column '", name, "'"));
}

Usage parse_usage(std::string_view text, const std::string& where) {
  if (text == "Training") return Usage::training;
  if (text == "PublicTest") return Usage::public_test;
  if (text == "PrivateTest") return Usage::private_test;
  throw DataError(concat(where, ": unknown Usage '", text, "'; known are Training, PublicTest, PrivateTest"));
}

std::filesystem::path csv_file(const std::filesystem::path& folder) {
  for (const char* name : {"fer2013.csv", "icml_face_data.csv"}) {
    if (std::filesystem::exists(folder / name)) return folder / name;
  }
  throw IoError(concat("'", folder.string(), "' holds neither fer2013.csv nor icml_face_data.csv"));
}

std::unique_ptr<Table> read_table(const std::filesystem::path& path) {
  auto table = std::make_unique<Table>(path);
  auto lines = split_lines(table->file.text());
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  require<DataError>(!lines.empty(), table->name, ": is empty");
  const auto header = csv_fields(lines[0]);
  const std::size_t emotion = column(header, "emotion", table->name),
                    pixels = column(header, "pixels", table->name),
                    usage = column(header, "usage", table->name);
  const std::size_t rows = lines.size() - 1;
  table->pixels.resize(rows);
  table->emotion.resize(rows);
  table->usage.resize(rows);
  parallel_rows(static_cast<std::int64_t>(rows), [&](std::int64_t row) {
    const auto r = static_cast<std::size_t>(row);
    const auto fields = csv_fields(lines[r + 1]);
    require<DataError>(fields.size() == header.size(), table->where(row), ": expected ", header.size(),
                       " fields, got ", fields.size());
    std::int64_t label = -1;
    require<DataError>(parse_integer(fields[emotion], label) && label >= 0 && label <= 6, table->where(row),
                       ": the emotion must be 0 to 6, got '", fields[emotion], "'");
    table->emotion[r] = label;
    table->usage[r] = parse_usage(fields[usage], table->where(row));
    table->pixels[r] = fields[pixels];
  });
  return table;
}

void parse_pixels(const Table& table, std::int64_t row, std::uint8_t* out) {
  const std::string_view text = table.pixels[static_cast<std::size_t>(row)];
  const char *p = text.data(), *end = p + text.size();
  int count = 0;
  while (true) {
    while (p < end && *p == ' ') ++p;
    if (p == end) break;
    unsigned value = 0;
    const char* start = p;
    for (; p < end && *p >= '0' && *p <= '9' && p - start < 4; ++p)
      value = value * 10 + static_cast<unsigned>(*p - '0');
    if (p == start || (p < end && *p != ' ') || value > 255) {
      throw DataError(
          concat(table.where(row), ": pixel ", count + 1, " must be 0 to 255, got '",
                 std::string_view(start, static_cast<std::size_t>(std::find(start, end, ' ') - start)), "'"));
    }
    if (count < pixel_count) out[count] = static_cast<std::uint8_t>(value);
    ++count;
  }
  require<DataError>(count == pixel_count, table.where(row), ": expected ", pixel_count, " pixels, got ",
                     count);
}

/// The votes are read by their places, so these must be those of the published file.
void require_vote_columns(const std::vector<std::string_view>& header, const std::string& file) {
  constexpr std::string_view names[] = {"Usage", "Image name", "neutral", "happiness", "surprise", "sadness",
                                        "anger", "disgust",    "fear",    "contempt",  "unknown",  "NF"};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    const std::string_view held = i < header.size() ? header[i] : std::string_view();
    require<DataError>(to_lower(held) == to_lower(names[i]), file, ":1: column ", i + 1, " must be '",
                       names[i], "', got '", held, "'");
  }
}

/// FER+ joins FER2013 by row, not by name: names repeat, drift from the row number, and are missing.
std::vector<Votes> read_votes(const std::filesystem::path& folder, const Table& table) {
  const std::filesystem::path path = folder / "fer2013new.csv";
  require<IoError>(std::filesystem::exists(path), "'", folder.string(),
                   "' holds no fer2013new.csv, FER+'s votes");
  const MappedFile file(path);
  const auto lines = split_lines(file.text());
  require<DataError>(!lines.empty(), path.string(), ": is empty");
  require_vote_columns(csv_fields(lines[0]), path.string());
  std::vector<Votes> votes;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const std::string where = concat(path.string(), ":", i + 1);
    const auto fields = csv_fields(lines[i]);
    Votes v = parse_votes(fields, 2, where);
    v.named = !fields[1].empty();
    if (votes.size() < table.usage.size()) {
      require<DataError>(parse_usage(fields[0], where) == table.usage[votes.size()], where, ": Usage is '",
                         fields[0], "', but another at ",
                         table.where(static_cast<std::int64_t>(votes.size())),
                         "; the files are joined row by row");
    }
    votes.push_back(v);
  }
  // a copy of the pictures may lack the last part
  require<DataError>(votes.size() >= table.usage.size(), path.string(), ": has ", votes.size(),
                     " rows of votes, but ", table.name, " ", table.usage.size(), " pictures");
  return votes;
}

/// Which rows the split means; `test` is PrivateTest, or PublicTest where a copy lacks it, and says so.
Usage wanted_usage(const Table& table, DatasetInfo& info) {
  if (is_training(info.split)) return Usage::training;
  if (info.split == Split::public_test) return Usage::public_test;
  const bool has_private =
      std::find(table.usage.begin(), table.usage.end(), Usage::private_test) != table.usage.end();
  if (info.split == Split::private_test || has_private) return Usage::private_test;
  info.split = Split::public_test;
  info.warnings.push_back("this copy has no PrivateTest rows; PublicTest serves as the test part");
  return Usage::public_test;
}

class Fer2013Dataset : public Dataset {
 public:
  Fer2013Dataset(DatasetInfo info, const Table& table, std::vector<std::int64_t> rows,
                 std::vector<std::int64_t> labels, std::vector<std::vector<float>> targets)
      : rows_(std::move(rows)), labels_(std::move(labels)), targets_(std::move(targets)), file_(table.name) {
    info_ = std::move(info);
    count_classes(info_, labels_);
    pixels_.resize(rows_.size() * pixel_count);
    parallel_rows(size(), [&](std::int64_t i) {
      parse_pixels(table, rows_[static_cast<std::size_t>(i)],
                   &pixels_[static_cast<std::size_t>(i) * pixel_count]);
    });
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t label(std::int64_t i) const override { return labels_.at(static_cast<std::size_t>(i)); }
  std::string name(std::int64_t i) const override {
    return concat(file_, ":", rows_.at(static_cast<std::size_t>(i)) + 2);  // the header is line 1
  }
  Sample sample(std::int64_t i) const override {
    Sample sample;
    sample.label = label(i);
    sample.image = Image(side, side, 1);
    std::memcpy(sample.image.pixels.data(), &pixels_[static_cast<std::size_t>(i) * pixel_count], pixel_count);
    if (!targets_.empty()) sample.target = targets_[static_cast<std::size_t>(i)];
    sample.name = name(i);
    return sample;
  }

 private:
  std::vector<std::int64_t> rows_, labels_;
  std::vector<std::vector<float>> targets_;
  std::string file_;
  std::vector<std::uint8_t> pixels_;  // samples x 48 x 48
};

}  // namespace

std::shared_ptr<const Dataset> open_fer2013(const DatasetOptions& options) {
  const bool plus = options.name == "ferplus";
  if (plus && std::filesystem::is_directory(options.folder / "FER2013Train"))
    return open_ferplus_folders(options);
  const std::unique_ptr<Table> table = read_table(csv_file(options.folder));
  DatasetInfo info;
  info.name = options.name;
  info.split = options.split;
  info.channels = 1;
  info.soft_labels = plus && options.label_mode == LabelMode::soft;
  info.class_names =
      plus ? ferplus_classes()
           : std::vector<std::string>{"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"};
  info.neutral = plus ? 0 : 6;
  const Usage usage = wanted_usage(*table, info);
  const std::vector<Votes> votes = plus ? read_votes(options.folder, *table) : std::vector<Votes>{};

  std::vector<std::int64_t> kept, labels;
  std::int64_t aside = 0;
  for (std::size_t row = 0; row < table->usage.size(); ++row) {
    if (table->usage[row] != usage) continue;
    const auto label = plus ? vote_label(votes[row], options.label_mode) : std::optional(table->emotion[row]);
    if (label) {
      kept.push_back(static_cast<std::int64_t>(row));
      labels.push_back(*label);
    } else {
      ++aside;
    }
  }
  if (aside > 0) info.warnings.push_back(concat(aside, " rows left aside: no majority, unknown or no face"));
  std::vector<std::int64_t> part_rows, part_labels;
  std::vector<std::vector<float>> targets;
  for (std::int64_t i : part_of_training(labels, options.split, options.validation_fraction, options.seed)) {
    part_rows.push_back(kept[static_cast<std::size_t>(i)]);
    part_labels.push_back(labels[static_cast<std::size_t>(i)]);
    if (info.soft_labels)
      targets.push_back(vote_distribution(votes[static_cast<std::size_t>(part_rows.back())]));
  }
  return std::make_shared<Fer2013Dataset>(std::move(info), *table, std::move(part_rows),
                                          std::move(part_labels), std::move(targets));
}

}  // namespace fer::detail
