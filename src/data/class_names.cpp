#include "data/class_names.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "data/sets/csv.h"
#include "fer/data/class_map.h"
#include "fer/error.h"
#include "formats/json_text.h"

namespace fer::detail {
namespace {

/// The entries of {"0": "angry"}, of {"angry": 0} as torchvision's class_to_idx has them, or of ["angry"].
std::vector<std::string> json_entries(std::string_view text, const std::string& spec) {
  const std::string where = concat("class names '", spec, "'");
  std::vector<std::string> entries;
  try {
    const Json json = parse_json(text, where);
    for (const auto& [key, value] : json.items()) {
      require<FormatError>(value.is_string() || (json.is_object() && value.is_number_integer()), where, ": '",
                           key, "' must be a name, or a name's number, got ", excerpt_of(value));
      entries.push_back(json.is_array()     ? value.get<std::string>()
                        : value.is_string() ? concat(key, "=", value.get<std::string>())
                                            : concat(value.dump(), "=", key));
    }
  } catch (const FormatError& error) {
    throw ConfigError(error.what());
  }
  return entries;
}

/// The entries of "a,b", of a file with one or several per line, or of JSON, given as text or as a file.
std::vector<std::string> entries_of(const std::string& spec) {
  std::error_code error;
  std::optional<TextFile> file;
  if (std::filesystem::is_regular_file(spec, error)) file.emplace(spec);
  const std::string_view text = trim(file ? file->text() : std::string_view(spec));
  if (text.starts_with('{') || text.starts_with('[')) return json_entries(text, spec);
  std::vector<std::string> entries;
  for (std::string_view line : split_lines(text)) {
    if (trim(line).empty()) continue;
    for (std::string_view entry : csv_fields(line)) entries.emplace_back(entry);
  }
  return entries;
}

/// Splits "0=angry" or "0: angry"; the folder is "" if there is none.
std::pair<std::string, std::string> folder_and_name(const std::string& entry) {
  const std::size_t sign = entry.find_first_of("=:");
  if (sign == std::string::npos) return {"", std::string(trim(entry))};
  const std::string_view text = entry;
  return {std::string(trim(text.substr(0, sign))), std::string(trim(text.substr(sign + 1)))};
}

}  // namespace

ClassNames::ClassNames(const std::string& spec) {
  if (spec.empty()) return;
  std::set<std::string> folders, names;
  for (const std::string& entry : entries_of(spec)) {
    auto [folder, name] = folder_and_name(entry);
    const bool folder_named = entry.find_first_of("=:") != std::string::npos;
    require<ConfigError>(!name.empty() && (!folder_named || !folder.empty()), "class names '", spec, "': '",
                         entry, "' must be FOLDER=NAME or NAME");
    require<ConfigError>(names_.empty() || names_[0].first.empty() == folder.empty(), "class names '", spec,
                         "': '", entry, "' mixes FOLDER=NAME with names in order");
    require<ConfigError>(folder.empty() || folders.insert(folder).second, "class names '", spec,
                         "': the folder '", folder, "' is named twice");
    require<ConfigError>(names.insert(to_lower(name)).second, "class names '", spec, "': the name '", name,
                         "' is given twice");
    names_.emplace_back(std::move(folder), std::move(name));
  }
}

bool ClassNames::names_folder(const std::string& folder) const {
  return std::any_of(names_.begin(), names_.end(), [&](const auto& entry) {
    return !entry.first.empty() && to_lower(entry.first) == to_lower(folder);
  });
}

std::vector<std::string> ClassNames::of(const std::vector<std::string>& folders) const {
  require<ConfigError>(!in_order() || names_.size() == folders.size(), names_.size(),
                       " class names are given for ", folders.size(), " class folders");
  std::vector<std::string> names;
  for (std::size_t i = 0; i < folders.size(); ++i) {
    std::string name = in_order() ? names_[i].second : folders[i];
    for (const auto& [folder, given] : names_) {
      if (!in_order() && to_lower(folder) == to_lower(folders[i])) name = given;
    }
    names.push_back(std::move(name));
  }
  return names;
}

std::vector<std::string> ClassNames::without_folder(const std::vector<std::string>& folders) const {
  std::vector<std::string> missing;
  for (const auto& [folder, name] : names_) {
    const bool found = std::any_of(folders.begin(), folders.end(),
                                   [&, key = to_lower(folder)](const auto& f) { return to_lower(f) == key; });
    if (!in_order() && !found) missing.push_back(folder);
  }
  return missing;
}

bool is_expression_word(std::string_view word) {
  static const std::set<std::string> expressions{"neutral", "happiness", "surprise", "sadness",
                                                 "anger",   "disgust",   "fear",     "contempt"};
  return expressions.contains(canonical_class(word));
}

}  // namespace fer::detail
