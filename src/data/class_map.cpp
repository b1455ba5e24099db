#include "fer/data/class_map.h"

#include <algorithm>
#include <map>
#include <set>

#include "data/file_io.h"
#include "fer/error.h"

namespace fer {
namespace {

/// Spellings besides FER+'s own that data sets and users' folders have.
const std::map<std::string, std::string, std::less<>>& class_aliases() {
  static const std::map<std::string, std::string, std::less<>> aliases{
      {"normal", "neutral"},     {"natural", "neutral"},       {"neutrality", "neutral"},
      {"happy", "happiness"},    {"joy", "happiness"},         {"joyful", "happiness"},
      {"surprised", "surprise"}, {"suprise", "surprise"},      {"suprised", "surprise"},
      {"sad", "sadness"},        {"sorrow", "sadness"},        {"angry", "anger"},
      {"disgusted", "disgust"},  {"fearful", "fear"},          {"afraid", "fear"},
      {"scared", "fear"},        {"contemptuous", "contempt"}, {"contemptous", "contempt"}};
  return aliases;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_separator(char c) {
  return c == ' ' || c == '_' || c == '-' || c == '.' || c == '\t';
}

/// The positions of the classes of each meaning.
using Meanings = std::map<std::string, std::vector<std::int64_t>>;

Meanings meanings_of(const std::vector<std::string>& names) {
  Meanings meanings;
  for (std::size_t i = 0; i < names.size(); ++i)
    meanings[canonical_class(names[i])].push_back(static_cast<std::int64_t>(i));
  return meanings;
}

/// "'a' and 'b'", "'a', 'b' and 'c'".
std::string quoted(const std::vector<std::string>& names, const std::vector<std::int64_t>& chosen) {
  std::string text;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    text += i == 0 ? "" : i + 1 == chosen.size() ? " and " : ", ";
    text += "'" + names[static_cast<std::size_t>(chosen[i])] + "'";
  }
  return text;
}

/// Pairs the classes of one meaning: one on each side, or several that both sides spell the same way.
void pair_up(const ClassList& first, const std::vector<std::int64_t>& of_first, const ClassList& second,
             const std::vector<std::int64_t>& of_second, std::vector<ClassMap::Pair>& pairs) {
  if (of_first.size() == 1 && of_second.size() == 1) {
    pairs.push_back({of_first[0], of_second[0]});
    return;
  }
  std::map<std::string, std::int64_t> by_name;
  for (const std::int64_t i : of_second) by_name.emplace(second.names[static_cast<std::size_t>(i)], i);
  std::set<std::string> spelt_alike;
  for (const std::int64_t i : of_first) {
    const std::string& name = first.names[static_cast<std::size_t>(i)];
    if (by_name.contains(name)) spelt_alike.insert(name);
  }
  const bool alike = spelt_alike.size() == of_first.size() && of_first.size() == of_second.size();
  const bool of_one = of_first.size() > 1;  // which side has several classes
  const ClassList &several = of_one ? first : second, &other = of_one ? second : first;
  require<DataError>(alike, several.owner, ": its classes ",
                     quoted(several.names, of_one ? of_first : of_second), " mean the same as ",
                     quoted(other.names, of_one ? of_second : of_first), " of ", other.owner,
                     "; rename or merge them");
  for (const std::int64_t i : of_first)
    pairs.push_back({i, by_name.at(first.names[static_cast<std::size_t>(i)])});
}

class RelabelledDataset : public Dataset {
 public:
  RelabelledDataset(std::shared_ptr<const Dataset> base, std::vector<std::string> names,
                    std::vector<std::int64_t> to)
      : base_(std::move(base)), new_label_(std::move(to)) {
    info_ = base_->info();
    info_.neutral = neutral_class(names);
    info_.class_names = std::move(names);
    info_.class_counts.assign(info_.class_names.size(), 0);
    for (std::int64_t i = 0; i < size(); ++i) ++info_.class_counts.at(static_cast<std::size_t>(label(i)));
  }
  std::int64_t size() const override { return base_->size(); }
  std::int64_t label(std::int64_t i) const override { return new_label(base_->label(i)); }
  std::string name(std::int64_t i) const override { return base_->name(i); }
  Sample sample(std::int64_t i) const override {
    Sample sample = base_->sample(i);
    sample.label = new_label(sample.label);
    if (!sample.target.empty()) sample.target = new_target(sample.target);
    return sample;
  }

 private:
  std::int64_t new_label(std::int64_t label) const {
    const std::int64_t target_label = new_label_.at(static_cast<std::size_t>(label));
    require<ConfigError>(target_label >= 0, "a sample is of the class '",
                         base_->info().class_names[static_cast<std::size_t>(label)], "', which is not among ",
                         class_list_text(info_.class_names));
    return target_label;
  }
  std::vector<float> new_target(const std::vector<float>& target) const {
    std::vector<float> result(info_.class_names.size(), 0.0f);
    float sum = 0;
    for (std::size_t c = 0; c < target.size(); ++c) {
      if (new_label_[c] < 0) continue;
      result[static_cast<std::size_t>(new_label_[c])] += target[c];
      sum += target[c];
    }
    for (float& t : result) t /= sum;  // not 0: the sample's own class has a share
    return result;
  }

  std::shared_ptr<const Dataset> base_;
  std::vector<std::int64_t> new_label_;
};

std::vector<std::string> unmatched(const ClassList& list, const Meanings& other) {
  std::vector<std::string> names;
  for (const std::string& name : list.names) {
    if (!other.contains(canonical_class(name))) names.push_back(name);
  }
  return names;
}

}  // namespace

std::string canonical_class(std::string_view name) {
  std::string text;  // lower-case words, separated by one space
  for (const char c : detail::to_lower(name)) {
    if (!is_separator(c)) {
      text += c;
    } else if (!text.empty() && text.back() != ' ') {
      text += ' ';
    }
  }
  if (text.ends_with(' ')) text.pop_back();
  const auto word =
      std::find_if_not(text.begin(), text.end(), [](char c) { return is_digit(c) || c == ' '; });
  if (word != text.end()) text.erase(text.begin(), word);  // a lone number is a name
  const auto alias = class_aliases().find(text);
  return alias == class_aliases().end() ? text : alias->second;
}

int neutral_class(const std::vector<std::string>& names) {
  const auto found = std::find_if(names.begin(), names.end(),
                                  [](const std::string& name) { return canonical_class(name) == "neutral"; });
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

bool ClassMap::identical() const {
  return only_first.empty() && only_second.empty() &&
         std::all_of(common.begin(), common.end(), [](const Pair& p) { return p.first == p.second; });
}

std::vector<std::int64_t> ClassMap::second_of_first() const {
  std::vector<std::int64_t> positions(common.size() + only_first.size(), -1);
  for (const Pair& p : common) positions.at(static_cast<std::size_t>(p.first)) = p.second;
  return positions;
}

ClassMap match_classes(const ClassList& first, const ClassList& second) {
  const Meanings of_first = meanings_of(first.names), of_second = meanings_of(second.names);
  ClassMap map;
  for (const auto& [meaning, positions] : of_first) {
    if (const auto counterpart = of_second.find(meaning); counterpart != of_second.end())
      pair_up(first, positions, second, counterpart->second, map.common);
  }
  std::sort(map.common.begin(), map.common.end(),
            [](const ClassMap::Pair& a, const ClassMap::Pair& b) { return a.first < b.first; });
  map.only_first = unmatched(first, of_second);
  map.only_second = unmatched(second, of_first);
  return map;
}

std::vector<std::int64_t> samples_with_place(const Dataset& dataset, const std::vector<std::int64_t>& to) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    if (to.at(static_cast<std::size_t>(dataset.label(i))) >= 0) numbers.push_back(i);
  }
  return numbers;
}

std::shared_ptr<const Dataset> relabelled(std::shared_ptr<const Dataset> dataset,
                                          std::vector<std::string> names, std::vector<std::int64_t> to) {
  return std::make_shared<RelabelledDataset>(std::move(dataset), std::move(names), std::move(to));
}

std::string class_list_text(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace fer
