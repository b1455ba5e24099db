// FER2013 (Goodfellow et al., 2013) with its own labels, and FER+ (Barsoum et al., 2016), which joins ten
// people's votes to the same rows. Read from fer2013.csv (emotion,pixels,Usage) or Kaggle's
// icml_face_data.csv (emotion, Usage, pixels), and fer2013new.csv.
#include <algorithm>
#include <array>
#include <optional>

#include "data/dataset_parts.h"
#include "data/file_io.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

constexpr int side = 48, pixel_count = side * side;
enum class Usage : std::uint8_t { training, public_test, private_test };

struct Rows {
  std::vector<std::uint8_t> pixels;  // rows x 48 x 48
  std::vector<std::int64_t> emotion;
  std::vector<Usage> usage;
  std::string file;
};

/// The fields of a line; commas do not occur inside fields of these files.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t start = 0;;) {
    const std::size_t comma = line.find(',', start);
    fields.push_back(trim(line.substr(start, comma - start)));
    if (comma == std::string_view::npos) return fields;
    start = comma + 1;
  }
}

std::size_t column(const std::vector<std::string_view>& header, std::string_view name,
                   const std::string& file) {
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (to_lower(header[i]) == name) return i;
  }
  throw DataError(concat(file, ":1: the header has no column '", name, "'"));
}

void parse_pixels(std::string_view text, const std::string& where, std::vector<std::uint8_t>& out) {
  int count = 0, value = -1;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    if (c >= '0' && c <= '9') {
      value = std::max(value, 0) * 10 + (c - '0');
      require<DataError>(value <= 255, where, ": a pixel is larger than 255");
    } else {
      require<DataError>(c == ' ', where, ": the pixels hold '", c, "'");
      if (value < 0) continue;
      if (count < pixel_count) out.push_back(static_cast<std::uint8_t>(value));
      ++count;
      value = -1;
    }
  }
  require<DataError>(count == pixel_count, where, ": expected ", pixel_count, " pixels, got ", count);
}

Usage parse_usage(std::string_view text, const std::string& where) {
  if (text == "Training") return Usage::training;
  if (text == "PublicTest") return Usage::public_test;
  if (text == "PrivateTest") return Usage::private_test;
  throw DataError(concat(where, ": unknown Usage '", text, "'; known are Training, PublicTest, PrivateTest"));
}

Rows read_rows(const std::filesystem::path& folder) {
  std::filesystem::path path = folder / "fer2013.csv";
  if (!std::filesystem::exists(path) && std::filesystem::exists(folder / "icml_face_data.csv")) {
    path = folder / "icml_face_data.csv";
  }
  require<IoError>(std::filesystem::exists(path), "'", folder.string(),
                   "' holds neither fer2013.csv nor icml_face_data.csv");
  const MappedFile file(path);
  Rows rows;
  rows.file = path.string();
  const auto lines = split_lines(file.text());
  require<DataError>(!lines.empty(), rows.file, ": is empty");
  const auto header = fields_of(lines[0]);
  const std::size_t emotion = column(header, "emotion", rows.file),
                    pixels = column(header, "pixels", rows.file), usage = column(header, "usage", rows.file);
  rows.pixels.reserve((lines.size() - 1) * pixel_count);
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string where = concat(rows.file, ":", i + 1);
    const auto fields = fields_of(lines[i]);
    require<DataError>(fields.size() == header.size(), where, ": expected ", header.size(), " fields, got ",
                       fields.size());
    std::int64_t label = -1;
    require<DataError>(parse_integer(fields[emotion], label) && label >= 0 && label <= 6, where,
                       ": the emotion must be 0 to 6, got '", fields[emotion], "'");
    rows.emotion.push_back(label);
    rows.usage.push_back(parse_usage(fields[usage], where));
    parse_pixels(fields[pixels], where, rows.pixels);
  }
  return rows;
}

constexpr int emotions = 8, unknown = 8;  // the votes' columns: eight emotions, unknown, no face
struct Votes {
  std::array<int, 10> count{};
  bool named = false;
};

std::vector<Votes> read_votes(const std::filesystem::path& folder, const Rows& rows) {
  const std::filesystem::path path = folder / "fer2013new.csv";
  require<IoError>(std::filesystem::exists(path), "'", folder.string(),
                   "' holds no fer2013new.csv, FER+'s votes");
  const MappedFile file(path);
  const auto lines = split_lines(file.text());
  std::vector<Votes> votes;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string where = concat(path.string(), ":", i + 1);
    const auto fields = fields_of(lines[i]);
    require<DataError>(fields.size() == 12, where, ": expected 12 fields, got ", fields.size());
    Votes v;
    v.named = !fields[1].empty();
    for (std::size_t c = 0; c < v.count.size(); ++c) {
      std::int64_t n = -1;
      require<DataError>(parse_integer(fields[c + 2], n) && n >= 0 && n <= 100, where,
                         ": votes must be whole numbers, got '", fields[c + 2], "'");
      v.count[c] = static_cast<int>(n);
    }
    votes.push_back(v);
  }
  // FER+ joins FER2013 by row; a copy without PrivateTest has fewer rows on one side or both.
  require<DataError>(votes.size() >= rows.emotion.size(), path.string(), ": has ", votes.size(),
                     " rows of votes, '", rows.file, "' ", rows.emotion.size(), " pictures");
  return votes;
}

/// Its authors' rule: single votes count as none, the winner needs more than half of what is left.
std::optional<std::int64_t> majority(const Votes& v) {
  int sum = 0, best = -1, winner = 0;
  for (std::size_t c = 0; c < v.count.size(); ++c) {
    const int n = v.count[c] > 1 ? v.count[c] : 0;
    sum += n;
    if (n > best) {
      best = n;
      winner = static_cast<int>(c);
    }
  }
  if (2 * best <= sum || winner >= unknown) return std::nullopt;
  return winner;
}

std::optional<std::int64_t> most_votes(const Votes& v) {
  if (!v.named) return std::nullopt;
  const auto winner = std::max_element(v.count.begin(), v.count.end()) - v.count.begin();
  if (winner >= unknown) return std::nullopt;
  return winner;
}

std::vector<float> distribution(const Votes& v) {
  std::vector<float> target(emotions);
  float sum = 0;
  for (int threshold : {1, 0}) {  // single votes count only where nothing else is there
    sum = 0;
    for (std::size_t c = 0; c < target.size(); ++c) {
      target[c] = v.count[c] > threshold ? static_cast<float>(v.count[c]) : 0.0f;
      sum += target[c];
    }
    if (sum > 0) break;
  }
  for (float& t : target) t /= sum;
  return target;
}

class Fer2013Dataset : public Dataset {
 public:
  Fer2013Dataset(DatasetInfo info, const Rows& rows, const std::vector<std::int64_t>& kept,
                 const std::vector<std::int64_t>& labels, std::vector<std::vector<float>> targets)
      : labels_(labels), targets_(std::move(targets)), rows_(kept), file_(rows.file) {
    info_ = std::move(info);
    count_classes(info_, labels_);
    pixels_.reserve(kept.size() * pixel_count);
    for (std::int64_t row : kept) {
      const auto begin = rows.pixels.begin() + static_cast<std::ptrdiff_t>(row) * pixel_count;
      pixels_.insert(pixels_.end(), begin, begin + pixel_count);
    }
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  std::int64_t label(std::int64_t i) const override { return labels_.at(static_cast<std::size_t>(i)); }
  std::string name(std::int64_t i) const override {
    return concat(file_, ":", rows_.at(static_cast<std::size_t>(i)) + 2);  // the header is line 1
  }
  Sample sample(std::int64_t i) const override {
    Sample sample;
    sample.image = Image(side, side, 1);
    const auto begin = pixels_.begin() + static_cast<std::ptrdiff_t>(i) * pixel_count;
    std::copy(begin, begin + pixel_count, sample.image.pixels.begin());
    sample.label = label(i);
    if (!targets_.empty()) sample.target = targets_[static_cast<std::size_t>(i)];
    sample.name = name(i);
    return sample;
  }

 private:
  std::vector<std::int64_t> labels_;
  std::vector<std::vector<float>> targets_;
  std::vector<std::int64_t> rows_;
  std::string file_;
  std::vector<std::uint8_t> pixels_;
};

}  // namespace

std::shared_ptr<const Dataset> open_fer2013(const DatasetOptions& options) {
  const Rows rows = read_rows(options.folder);
  const bool plus = options.name == "ferplus";
  DatasetInfo info;
  info.name = options.name;
  info.split = options.split;
  info.channels = 1;
  info.soft_labels = plus && options.label_mode == LabelMode::soft;
  if (plus) {
    info.class_names = {"neutral", "happiness", "surprise", "sadness",
                        "anger",   "disgust",   "fear",     "contempt"};
    info.neutral = 0;
  } else {
    info.class_names = {"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"};
    info.neutral = 6;
  }
  Usage usage = Usage::training;
  if (options.split == Split::public_test) usage = Usage::public_test;
  if (options.split == Split::private_test) usage = Usage::private_test;
  if (options.split == Split::test) {
    usage = Usage::private_test;
    if (std::find(rows.usage.begin(), rows.usage.end(), usage) == rows.usage.end()) {
      usage = Usage::public_test;
      info.split = Split::public_test;
      info.warnings.push_back("this copy has no PrivateTest rows; PublicTest serves as the test part");
    }
  }
  std::vector<Votes> votes;
  if (plus) votes = read_votes(options.folder, rows);
  std::vector<std::int64_t> kept, labels;
  std::int64_t dropped = 0;
  for (std::size_t row = 0; row < rows.emotion.size(); ++row) {
    if (rows.usage[row] != usage) continue;
    std::optional<std::int64_t> label = rows.emotion[row];
    if (plus)
      label = options.label_mode == LabelMode::majority ? majority(votes[row]) : most_votes(votes[row]);
    if (!label) {
      ++dropped;
      continue;
    }
    kept.push_back(static_cast<std::int64_t>(row));
    labels.push_back(*label);
  }
  if (dropped > 0)
    info.warnings.push_back(concat(dropped, " rows left aside: no majority, unknown or no face"));
  const auto part = part_of_training(labels, options.split, options.validation_fraction, options.seed);
  std::vector<std::int64_t> part_rows, part_labels;
  std::vector<std::vector<float>> targets;
  for (std::int64_t i : part) {
    part_rows.push_back(kept[static_cast<std::size_t>(i)]);
    part_labels.push_back(labels[static_cast<std::size_t>(i)]);
    if (info.soft_labels) targets.push_back(distribution(votes[static_cast<std::size_t>(part_rows.back())]));
  }
  return std::make_shared<Fer2013Dataset>(std::move(info), rows, part_rows, part_labels, std::move(targets));
}

}  // namespace fer::detail
