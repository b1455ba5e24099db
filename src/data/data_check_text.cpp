// A data check as text and as JSON.
#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/sets/dataset_parts.h"
#include "fer/data/data_check.h"
#include "formats/json_document.h"

namespace fer {
namespace {

using CheckJson = nlohmann::ordered_json;

constexpr const char* near_method =
    "64 bits of the cosine transform at most 6 apart, and small grey copies, mirrored or not, that correlate "
    "by "
    "at least 0.98";

std::string extent_text(const ExtentRange& range, const char* what) {
  if (range.least == range.most) return concat(range.least, " ", what);
  return concat(range.least, " to ", range.most, " ", what, " (median ", range.median, ")");
}

std::string class_of(const DataCheck& check, const DuplicateGroup::Member& member) {
  const auto& names = check.parts[member.part].info.class_names;
  return names.at(static_cast<std::size_t>(member.label));
}

void write_part(std::ostream& out, const PartCheck& part) {
  out << "\n" << name_of(part.split) << ": ";
  if (!part.problem.empty()) {
    out << "cannot be opened: " << part.problem << "\n";
    return;
  }
  const DatasetInfo& info = part.info;
  std::int64_t samples = 0;
  std::size_t longest = 0;
  for (std::size_t c = 0; c < info.class_names.size(); ++c) {
    samples += info.class_counts[c];
    longest = std::max(longest, info.class_names[c].size());
  }
  out << samples << " pictures\n";
  for (std::size_t c = 0; c < info.class_names.size(); ++c) {
    out << "  " << std::left << std::setw(static_cast<int>(longest)) << info.class_names[c] << std::right
        << std::setw(9) << info.class_counts[c] << "\n";
  }
  if (part.grey + part.colour > 0) {
    out << "  " << extent_text(part.width, "wide") << ", " << extent_text(part.height, "high") << "; "
        << (part.colour == 0 ? "all grey"
            : part.grey == 0 ? "all in colour"
                             : concat(part.grey, " grey, ", part.colour, " in colour"))
        << "\n";
  }
  if (!part.damaged.empty()) {
    std::vector<std::string> reasons;
    for (const BadSample& bad : part.damaged) reasons.push_back(bad.reason);
    out << "  " << part.damaged.size() << " cannot be read:\n  " << detail::first_ten(reasons) << "\n";
  }
  for (const LeftOut& entry : info.left_out)
    out << "  left out: " << entry.count << " " << entry.rule << " (" << entry.examples.front()
        << (entry.count > 1 ? ", ..." : "") << ")\n";
  for (const std::string& warning : info.warnings) {
    const bool listed =
        warning.find(" left aside: ") != std::string::npos || warning.starts_with("left out: ");
    if (!listed) out << "  " << warning << "\n";
  }
}

void write_duplicates(std::ostream& out, const DataCheck& check, const std::vector<DuplicateGroup>& groups,
                      const std::string& title) {
  out << "\n" << title << ": ";
  if (groups.empty()) {
    out << "none\n";
    return;
  }
  std::size_t pictures = 0;
  for (const DuplicateGroup& group : groups) pictures += group.members.size();
  out << pictures << " pictures in " << groups.size() << " groups\n";
  for (const SharedPictures& pair : shared_pictures(check, groups)) {
    const auto first = name_of(check.parts[pair.first].split),
               second = name_of(check.parts[pair.second].split);
    if (pair.first == pair.second) {
      out << "  within " << first << ": " << pair.of_first << " in " << pair.groups << " groups";
    } else {
      out << "  in " << first << " and " << second << ": " << pair.of_first << " of " << first << ", "
          << pair.of_second << " of " << second;
    }
    if (pair.other_label > 0) out << "; " << pair.other_label << " groups with several labels";
    out << "\n";
  }
  constexpr std::size_t shown = 5, members = 4;
  for (std::size_t g = 0; g < std::min(shown, groups.size()); ++g) {
    out << "    ";
    const auto& list = groups[g].members;
    for (std::size_t m = 0; m < std::min(members, list.size()); ++m) {
      out << (m == 0 ? "" : ", ") << list[m].name << " (" << name_of(check.parts[list[m].part].split) << ", "
          << class_of(check, list[m]) << ")";
    }
    out << (list.size() > members ? concat(" and ", list.size() - members, " more") : "") << "\n";
  }
  if (groups.size() > shown)
    out << "    and " << groups.size() - shown << " more groups; --json lists them\n";
}

CheckJson extent_json(const ExtentRange& range) {
  return {{"min", range.least}, {"median", range.median}, {"max", range.most}};
}

CheckJson part_json(const PartCheck& part) {
  CheckJson json{{"split", name_of(part.split)}};
  if (!part.problem.empty()) {
    json["problem"] = part.problem;
    return json;
  }
  std::int64_t samples = 0;
  CheckJson classes = CheckJson::object(), damaged = CheckJson::array(), left_out = CheckJson::array();
  for (std::size_t c = 0; c < part.info.class_names.size(); ++c) {
    classes[part.info.class_names[c]] = part.info.class_counts[c];
    samples += part.info.class_counts[c];
  }
  for (const BadSample& bad : part.damaged) damaged.push_back(bad.reason);
  for (const LeftOut& entry : part.info.left_out)
    left_out.push_back({{"rule", entry.rule}, {"count", entry.count}, {"examples", entry.examples}});
  json["samples"] = samples;
  json["classes"] = classes;
  json["width"] = extent_json(part.width);
  json["height"] = extent_json(part.height);
  json["grey"] = part.grey;
  json["colour"] = part.colour;
  json["damaged"] = damaged;
  json["left_out"] = left_out;
  json["warnings"] = part.info.warnings;
  return json;
}

CheckJson duplicates_json(const DataCheck& check, const std::vector<DuplicateGroup>& groups,
                          const char* method) {
  CheckJson shared = CheckJson::array(), list = CheckJson::array();
  for (const SharedPictures& pair : shared_pictures(check, groups)) {
    shared.push_back({{"first", name_of(check.parts[pair.first].split)},
                      {"second", name_of(check.parts[pair.second].split)},
                      {"groups", pair.groups},
                      {"of_first", pair.of_first},
                      {"of_second", pair.of_second},
                      {"groups_with_several_labels", pair.other_label}});
  }
  for (const DuplicateGroup& group : groups) {
    CheckJson members = CheckJson::array();
    for (const auto& member : group.members) {
      members.push_back({{"name", member.name},
                         {"split", name_of(check.parts[member.part].split)},
                         {"class", class_of(check, member)}});
    }
    list.push_back(std::move(members));
  }
  return {{"method", method}, {"shared", shared}, {"groups", list}};
}

}  // namespace

std::string to_text(const DataCheck& check) {
  std::ostringstream out;
  out << check.dataset << (check.folder.empty() ? "" : " in " + check.folder)
      << (check.labels.empty() ? "" : ", labels by " + check.labels) << "\n";
  for (const PartCheck& part : check.parts) write_part(out, part);
  write_duplicates(out, check, check.exact, "exact duplicates (the same pixels)");
  write_duplicates(out, check, check.near, concat("near duplicates (", near_method, ")"));
  return out.str();
}

std::string to_json(const DataCheck& check) {
  CheckJson parts = CheckJson::array();
  for (const PartCheck& part : check.parts) parts.push_back(part_json(part));
  CheckJson json = json_document("data check", 1, {{"dataset", check.dataset}, {"folder", check.folder}});
  if (!check.labels.empty()) json["labels"] = check.labels;
  json["sound"] = is_sound(check);
  json["parts"] = parts;
  json["exact_duplicates"] = duplicates_json(check, check.exact, "the same extents and pixels");
  json["near_duplicates"] = duplicates_json(check, check.near, near_method);
  json["seconds"] = check.seconds;
  return json.dump(2, ' ', false, CheckJson::error_handler_t::replace) + "\n";
}

}  // namespace fer
