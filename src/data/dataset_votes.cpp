// FER+ (Barsoum et al., 2016): ten people's votes for each face of FER2013, what becomes of them, and the
// layout of its own tools (FER2013Train/fer0000000.png, FER2013Train/label.csv, and Valid and Test).
#include <algorithm>

#include "data/dataset_parts.h"
#include "data/file_io.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

/// Its authors' rule: single votes count as none, the winner needs more than half of what is left.
std::optional<std::int64_t> majority(const Votes& v) {
  int sum = 0, best = 0;
  std::int64_t winner = 0;
  for (std::size_t c = 0; c < v.count.size(); ++c) {
    const int n = v.count[c] > 1 ? v.count[c] : 0;
    sum += n;
    if (n > best) {
      best = n;
      winner = static_cast<std::int64_t>(c);
    }
  }
  if (2 * best <= sum || winner >= Votes::emotions) return std::nullopt;
  return winner;
}

std::optional<std::int64_t> most_votes(const Votes& v) {
  if (!v.named) return std::nullopt;
  const auto winner = std::max_element(v.count.begin(), v.count.end()) - v.count.begin();
  if (winner >= Votes::emotions) return std::nullopt;
  return winner;
}

}  // namespace

const std::vector<std::string>& ferplus_classes() {
  static const std::vector<std::string> names = {"neutral", "happiness", "surprise", "sadness",
                                                 "anger",   "disgust",   "fear",     "contempt"};
  return names;
}

std::vector<std::string_view> csv_fields(std::string_view line) {
  std::vector<std::string_view> fields;
  std::size_t start = 0;
  while (true) {
    std::size_t from = start;
    while (from < line.size() && line[from] == ' ') ++from;
    if (from < line.size() && line[from] == '"') {  // to the closing quote
      const std::size_t close = line.find('"', from + 1);
      from = close == std::string_view::npos ? line.size() : close;
    }
    const std::size_t comma = line.find(',', from);
    fields.push_back(trim(line.substr(start, comma == std::string_view::npos ? comma : comma - start)));
    if (comma == std::string_view::npos) return fields;
    start = comma + 1;
  }
}

Votes parse_votes(const std::vector<std::string_view>& fields, std::size_t first, const std::string& where) {
  Votes votes;
  require<DataError>(fields.size() == first + votes.count.size(), where, ": expected ",
                     first + votes.count.size(), " fields, got ", fields.size());
  for (std::size_t c = 0; c < votes.count.size(); ++c) {
    std::int64_t n = -1;
    require<DataError>(parse_integer(fields[first + c], n) && n >= 0 && n <= 100, where,
                       ": votes must be 0 to 100, got '", fields[first + c], "'");
    votes.count[c] = static_cast<int>(n);
  }
  return votes;
}

std::optional<std::int64_t> vote_label(const Votes& votes, LabelMode mode) {
  return mode == LabelMode::majority ? majority(votes) : most_votes(votes);
}

std::vector<float> vote_distribution(const Votes& votes) {
  std::vector<float> target(Votes::emotions);
  float sum = 0;
  for (int threshold : {1, 0}) {  // single votes count only where nothing else is there
    for (std::size_t c = 0; c < target.size(); ++c) {
      target[c] = votes.count[c] > threshold ? static_cast<float>(votes.count[c]) : 0.0f;
      sum += target[c];
    }
    if (sum > 0) break;
  }
  for (float& t : target) t /= sum;
  return target;
}

std::shared_ptr<const Dataset> open_ferplus_folders(const DatasetOptions& options) {
  const char* part = is_training(options.split)            ? "FER2013Train"
                     : options.split == Split::public_test ? "FER2013Valid"
                                                           : "FER2013Test";
  const std::filesystem::path folder = options.folder / part, list = folder / "label.csv";
  require_folder(folder, options.name);
  require<IoError>(std::filesystem::exists(list), "data set 'ferplus': '", list.string(), "' does not exist");
  DatasetInfo info;
  info.name = options.name;
  info.split = options.split;
  info.class_names = ferplus_classes();
  info.neutral = 0;
  info.channels = 1;
  info.soft_labels = options.label_mode == LabelMode::soft;
  const MappedFile file(list);
  const auto lines = split_lines(file.text());
  std::vector<LabelledFile> files;
  std::int64_t aside = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const std::string where = concat(list.string(), ":", i + 1);
    const auto fields = csv_fields(lines[i]);  // name, box, ten votes
    Votes votes = parse_votes(fields, 2, where);
    votes.named = true;
    const auto label = vote_label(votes, options.label_mode);
    if (!label) {
      ++aside;
      continue;
    }
    const std::filesystem::path picture = folder / std::string(fields[0]);
    require<IoError>(std::filesystem::exists(picture), where, ": the picture '", picture.string(),
                     "' does not exist");
    files.push_back(
        {picture, *label, info.soft_labels ? vote_distribution(votes) : std::vector<float>{}, {}, {}});
  }
  if (aside > 0) info.warnings.push_back(concat(aside, " rows left aside: no majority, unknown or no face"));
  return take_part(std::move(info), files, options);
}

}  // namespace fer::detail
