// FER2013 (Goodfellow et al., 2013) with its own labels, and FER+, which adds votes to the same rows. Reads
// fer2013.csv (emotion,pixels,Usage) or Kaggle's icml_face_data.csv (emotion, Usage, pixels), and
// fer2013new.csv.
//
// The csv file is mapped, and all threads parse its rows. Only the pixels of the wanted part are kept, one
// byte each.
#include <algorithm>
#include <cstring>

#include "data/file_io.h"
#include "data/sets/dataset_parts.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

constexpr int side = 48, pixel_count = side * side;
enum class Usage : std::uint8_t { training, public_test, private_test };

/// The csv file's rows split into fields; pixels are not parsed yet.
struct Table {
  explicit Table(const std::filesystem::path& path) : file(path) {}

  CsvTable file;
  std::vector<std::string_view> pixels;
  std::vector<std::int64_t> emotion;
  std::vector<Usage> usage;

  const std::string& name() const { return file.file().name(); }
  std::string where(std::int64_t row) const { return file.where(static_cast<std::size_t>(row)); }
};

Usage parse_usage(std::string_view text, const std::string& where) {
  if (text == "Training") return Usage::training;
  if (text == "PublicTest") return Usage::public_test;
  if (text == "PrivateTest") return Usage::private_test;
  throw DataError(concat(where, ": unknown Usage '", text, "'; known are Training, PublicTest, PrivateTest"));
}

std::filesystem::path csv_file(const std::filesystem::path& folder) {
  if (const auto found = find_file(folder, {"fer2013.csv", "icml_face_data.csv"})) return *found;
  const auto packed = find_file(folder, {"fer2013.tar.gz", "fer2013.csv.zip", "icml_face_data.csv.zip",
                                         "challenges-in-representation-learning-facial-expression-"
                                         "recognition-challenge.zip"});
  throw IoError(concat("'", folder.string(), "' holds neither fer2013.csv nor icml_face_data.csv",
                       packed ? concat("; unpack '", packed->filename().string(), "' first") : ""));
}

std::unique_ptr<Table> read_table(const std::filesystem::path& path) {
  auto table = std::make_unique<Table>(path);
  const CsvTable& file = table->file;
  const std::size_t emotion = file.column("emotion"), pixels = file.column("pixels"),
                    usage = file.column("usage");
  table->pixels.resize(file.size());
  table->emotion.resize(file.size());
  table->usage.resize(file.size());
  parallel_rows(static_cast<std::int64_t>(file.size()), [&](std::int64_t row) {
    const auto r = static_cast<std::size_t>(row);
    const auto fields = file.fields(r);
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

/// FER+ refers to FER2013 by row, not by name: names repeat, drift from the row number, or are missing.
std::vector<Votes> read_votes(const std::filesystem::path& folder, const Table& table) {
  const auto path = find_file(folder, {"fer2013new.csv"});
  require<IoError>(path.has_value(), "'", folder.string(), "' holds no fer2013new.csv, FER+'s votes");
  const CsvTable file(*path);
  const std::size_t usage = file.column("Usage"), name = file.column("Image name");
  std::array<std::size_t, 10> columns{};
  for (std::size_t c = 0; c < ferplus_classes().size(); ++c) columns[c] = file.column(ferplus_classes()[c]);
  columns[8] = file.column("unknown");
  columns[9] = file.column("NF");
  std::vector<Votes> votes;
  for (std::size_t row = 0; row < file.size(); ++row) {
    const auto fields = file.fields(row);
    Votes v = parse_votes(fields, columns, file.where(row));
    v.named = !fields[name].empty();
    if (row < table.usage.size()) {
      require<DataError>(parse_usage(fields[usage], file.where(row)) == table.usage[row], file.where(row),
                         ": Usage is '", fields[usage], "', but another at ",
                         table.where(static_cast<std::int64_t>(row)), "; the files are joined row by row");
    }
    votes.push_back(v);
  }
  // a copy may lack the pictures of the last part
  require<DataError>(votes.size() >= table.usage.size(), path->string(), ": has ", votes.size(),
                     " rows of votes, but ", table.name(), " ", table.usage.size(), " pictures");
  return votes;
}

/// The rows of the split. `test` is PrivateTest; if a copy lacks it, PublicTest, with a warning.
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
  Fer2013Dataset(DatasetInfo info, const Table& table, const std::vector<std::int64_t>& rows,
                 std::vector<std::int64_t> labels, std::vector<std::vector<float>> targets)
      : labels_(std::move(labels)), targets_(std::move(targets)) {
    info_ = std::move(info);
    count_classes(info_, labels_);
    for (std::int64_t row : rows) names_.push_back(table.where(row));
    pixels_.resize(rows.size() * pixel_count);
    parallel_rows(size(), [&](std::int64_t i) {
      parse_pixels(table, rows[static_cast<std::size_t>(i)],
                   &pixels_[static_cast<std::size_t>(i) * pixel_count]);
    });
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t label(std::int64_t i) const override { return labels_.at(static_cast<std::size_t>(i)); }
  std::string name(std::int64_t i) const override { return names_.at(static_cast<std::size_t>(i)); }
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
  std::vector<std::int64_t> labels_;
  std::vector<std::string> names_;  // row names from the file
  std::vector<std::vector<float>> targets_;
  std::vector<std::uint8_t> pixels_;  // samples x 48 x 48
};

}  // namespace

std::shared_ptr<const Dataset> open_fer2013(const DatasetOptions& options) {
  const bool plus = options.name == "ferplus";
  if (plus && std::filesystem::is_directory(options.folder / "FER2013Train"))
    return open_ferplus_folders(options);
  const std::unique_ptr<Table> table = read_table(csv_file(options.folder));
  DatasetInfo info = new_info(
      options,
      plus ? ferplus_classes()
           : std::vector<std::string>{"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"},
      plus ? 0 : 6);
  info.channels = 1;
  info.soft_labels = plus && options.label_mode == LabelMode::soft;
  if (plus) info.labels = vote_rule(options.label_mode);
  const Usage usage = wanted_usage(*table, info);
  const std::vector<Votes> votes = plus ? read_votes(options.folder, *table) : std::vector<Votes>{};

  std::vector<std::int64_t> kept, labels;
  std::int64_t tied = 0;
  for (std::size_t row = 0; row < table->usage.size(); ++row) {
    if (table->usage[row] != usage) continue;
    const VoteLabel label =
        plus ? vote_label(votes[row], options.label_mode) : VoteLabel{table->emotion[row]};
    if (label.label) {
      kept.push_back(static_cast<std::int64_t>(row));
      labels.push_back(*label.label);
      tied += label.tied;
    } else {
      leave_out(info, label.left_out, table->where(static_cast<std::int64_t>(row)));
    }
  }
  warn_of_votes(info, tied);
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
