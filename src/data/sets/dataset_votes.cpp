// FER+ (Barsoum et al., 2016): ten people's votes for each face of FER2013, the labels made from them, and
// the layout of its own tools (FER2013Train/fer0000000.png, FER2013Train/label.csv, and the same for Valid
// and Test).
#include <algorithm>

#include "data/file_io.h"
#include "data/sets/dataset_parts.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

/// The column with the most votes; the first one of a tie.
struct Winner {
  std::size_t column = 0;
  int votes = 0, sum = 0;
  bool tied = false;
};

/// Considers only counts of at least `least`.
Winner most_votes(const Votes& v, int least) {
  Winner winner;
  for (std::size_t c = 0; c < v.count.size(); ++c) {
    if (v.count[c] < least) continue;
    winner.sum += v.count[c];
    winner.tied = v.count[c] == winner.votes || (v.count[c] < winner.votes && winner.tied);
    if (v.count[c] <= winner.votes) continue;
    winner.votes = v.count[c];
    winner.column = c;
  }
  return winner;
}

}  // namespace

const std::vector<std::string>& ferplus_classes() {
  static const std::vector<std::string> names = {"neutral", "happiness", "surprise", "sadness",
                                                 "anger",   "disgust",   "fear",     "contempt"};
  return names;
}

Votes parse_votes(const std::vector<std::string_view>& fields, const std::array<std::size_t, 10>& columns,
                  const std::string& where) {
  Votes votes;
  for (std::size_t c = 0; c < votes.count.size(); ++c) {
    const std::string_view field = fields[columns[c]];
    std::int64_t n = -1;
    require<DataError>(parse_integer(field, n) && n >= 0 && n <= 100, where,
                       ": votes must be 0 to 100, got '", field, "'");
    votes.count[c] = static_cast<int>(n);
  }
  return votes;
}

std::string vote_rule(LabelMode mode) {
  return mode == LabelMode::majority ? "majority of the votes"
         : mode == LabelMode::argmax ? "most votes"
                                     : "shares of the votes; the class of most votes counts as right";
}

VoteLabel vote_label(const Votes& votes, LabelMode mode) {
  const bool majority = mode == LabelMode::majority;
  if (!majority && !votes.named) return {{}, "without an image name"};
  const Winner winner = most_votes(votes, majority ? 2 : 1);
  if (winner.sum == 0) return {{}, majority ? "with only single votes" : "without votes"};
  if (majority && 2 * winner.votes <= winner.sum) return {{}, winner.tied ? "tied" : "without a majority"};
  if (winner.column == 8) return {{}, "won by unknown"};
  if (winner.column == 9) return {{}, "won by no face"};
  return {static_cast<std::int64_t>(winner.column), "", winner.tied};
}

void warn_of_votes(DatasetInfo& info, std::int64_t tied) {
  warn_of_left_out(info, "rows");
  if (tied > 0)
    info.warnings.push_back(
        concat(tied, " rows are tied: of the classes with the most votes, the first is the label"));
}

std::vector<float> vote_distribution(const Votes& votes) {
  std::vector<float> target(Votes::emotions);
  float sum = 0;
  for (int threshold : {1, 0}) {  // single votes count only if there are no others
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
  const std::filesystem::path folder = options.folder / part;
  require_folder(folder, options.name);
  const auto list = find_file(folder, {"label.csv"});
  require<IoError>(list.has_value(), "data set 'ferplus': '", (folder / "label.csv").string(),
                   "' does not exist");
  DatasetInfo info = new_info(options, ferplus_classes(), 0);
  info.channels = 1;
  info.soft_labels = options.label_mode == LabelMode::soft;
  info.labels = vote_rule(options.label_mode);
  const CsvFile file(*list);
  PictureList pictures(info, options);
  std::int64_t tied = 0;
  for (std::size_t i = 0; i < file.size(); ++i) {
    const auto fields = file.fields(i);  // name, box, ten votes
    require<DataError>(fields.size() == 12, file.where(i), ": expected 12 fields, got ", fields.size());
    Votes votes = parse_votes(fields, {2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, file.where(i));
    votes.named = true;
    const VoteLabel label = vote_label(votes, options.label_mode);
    if (!label.label) {
      leave_out(info, label.left_out, file.where(i));
      continue;
    }
    tied += label.tied;
    LabelledFile picture{folder / csv_text(fields[0]), *label.label};
    if (info.soft_labels) picture.target = vote_distribution(votes);
    pictures.add(std::move(picture), file.where(i));
  }
  warn_of_votes(info, tied);
  return take_part(std::move(info), pictures.finish(), options);
}

}  // namespace fer::detail
