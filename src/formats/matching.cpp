#include "fer/formats/matching.h"

#include <algorithm>
#include <regex>
#include <set>

#include "formats/wrappers.h"

namespace fer {
namespace {

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}

/// The standard library's regex matcher recurses once per character. A name of a megabyte, as a hostile file
/// may have, would overflow the stack.
constexpr std::size_t longest_matched = 1000;

/// The leading digits of `text` as a number; none if there are no digits or more than five.
std::optional<int> leading_number(std::string_view text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  if (end == 0 || end > 5) return std::nullopt;
  return std::stoi(std::string(text.substr(0, end)));
}

constexpr std::string_view batches_tracked = "num_batches_tracked";

/// The first ten, one per line, and the number of the others.
std::string lines_of(const std::vector<std::string>& lines, const std::string& indent) {
  constexpr std::size_t most = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, lines.size()); ++i) text += (i ? "\n" : "") + indent + lines[i];
  if (lines.size() > most) text += concat("\n", indent, "and ", lines.size() - most, " more");
  return text;
}

std::string renamed_by(const NameMap& names, std::string name) {
  for (const RenameRule& rule : names.renames) {
    if (auto changed = rule(name)) name = std::move(*changed);
  }
  return name;
}

const AsideRule* aside_rule_of(const NameMap& names, const std::string& name) {
  for (const AsideRule& rule : names.asides) {
    if (rule.applies(name)) return &rule;
  }
  return nullptr;
}

}  // namespace

std::vector<NamedShape> shapes_of(const StateDict& tensors) {
  std::vector<NamedShape> shapes;
  for (const auto& [name, tensor] : tensors) shapes.push_back({name, tensor.shape()});
  return shapes;
}

RenameRule rename_prefix(std::string from, std::string to) {
  return [from = std::move(from), to = std::move(to)](const std::string& name) -> std::optional<std::string> {
    if (!starts_with(name, from)) return std::nullopt;
    return to + name.substr(from.size());
  };
}

RenameRule rename_regex(const std::string& pattern, std::string replacement) {
  return [expression = std::regex(pattern),
          replacement = std::move(replacement)](const std::string& name) -> std::optional<std::string> {
    std::smatch found;
    if (name.size() > longest_matched || !std::regex_match(name, found, expression)) return std::nullopt;
    return found.format(replacement);
  };
}

RenameRule renumber(const std::string& from, const std::string& to, int offset) {
  return [prefix = from + ".", to, offset](const std::string& name) -> std::optional<std::string> {
    if (!starts_with(name, prefix)) return std::nullopt;
    const std::size_t dot = name.find('.', prefix.size());
    const std::string_view digits = std::string_view(name).substr(prefix.size(), dot - prefix.size());
    const std::optional<int> number = leading_number(digits);
    if (!number || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
    return concat(to, ".", *number + offset, dot == std::string::npos ? "" : name.substr(dot));
  };
}

namespace {
AsideRule aside(const std::string& pattern, std::string reason, bool fatal) {
  return {[expression = std::regex(pattern)](const std::string& name) {
            return name.size() <= longest_matched && std::regex_match(name, expression);
          },
          std::move(reason), fatal};
}
}  // namespace

AsideRule leave_aside(const std::string& pattern, std::string reason) {
  return aside(pattern, std::move(reason), false);
}
AsideRule refuse(const std::string& pattern, std::string reason) {
  return aside(pattern, std::move(reason), true);
}

MatchReport match(std::span<const NamedShape> wanted, std::span<const NamedShape> held, const NameMap& names,
                  std::string_view what) {
  MatchReport report;
  report.title = names.title;
  std::set<std::string> wanted_names;
  for (const NamedShape& w : wanted) wanted_names.insert(w.name);
  std::unordered_map<std::string, const NamedShape*> renamed;
  const auto known = [&](const std::string& name) {
    const std::string renamed_name = renamed_by(names, name);
    if (wanted_names.count(renamed_name) || aside_rule_of(names, renamed_name)) return true;
    // Batch norm's counter, if its running mean is known.
    if (!ends_with(renamed_name, batches_tracked)) return false;
    return wanted_names.count(renamed_name.substr(0, renamed_name.size() - batches_tracked.size()) +
                              "running_mean") > 0;
  };
  for (const NamedShape& h : held) {
    std::string name = h.name;
    if (!known(name)) {
      if (auto freed = free_of_wrappers(name, known)) {
        detail::add_taken_off(report.taken_off, freed->taken_off);
        name = std::move(freed->name);
      }
    }
    name = renamed_by(names, std::move(name));
    if (wanted_names.count(name)) {
      const auto [entry, is_new] = renamed.emplace(name, &h);
      require<FormatError>(is_new, what, ": '", h.name, "' and '", entry->second->name, "' both mean '", name,
                           "'");
      continue;
    }
    std::string reason = ends_with(name, batches_tracked) ? "a counter that no result depends on" : "";
    if (const AsideRule* rule = aside_rule_of(names, name)) {
      require<FormatError>(!rule->fatal, what, ": '", h.name, "': ", rule->reason);
      reason = rule->reason;
    }
    report.left_aside.push_back({h.name, std::move(reason)});
  }
  for (const NamedShape& w : wanted) {
    const auto found = renamed.find(w.name);
    if (found == renamed.end()) {
      report.missing.push_back(w.name);
    } else if (!(found->second->shape == w.shape)) {
      report.wrong_shape.push_back({w.name, found->second->name, w.shape, found->second->shape});
    } else {
      report.matched.push_back({w.name, found->second->name});
    }
  }
  return report;
}

std::string MatchReport::text() const {
  std::ostringstream out;
  out << (title.empty() ? "weights" : title) << ": " << matched.size() << " tensors matched";
  if (!missing.empty()) out << ", " << missing.size() << " missing";
  if (!wrong_shape.empty()) out << ", " << wrong_shape.size() << " of another shape";
  if (!left_aside.empty()) out << ", " << left_aside.size() << " left aside";
  out << "\n";
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;  // by reason, in the file's order
  for (const Aside& a : left_aside) {
    const std::string reason = a.reason.empty() ? "not known to this model" : a.reason;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == reason; });
    if (group == groups.end()) group = groups.insert(groups.end(), {reason, {}});
    group->second.push_back(a.held);
  }
  if (!taken_off.empty()) out << "  removed: " << text_of(taken_off) << "\n";
  for (const auto& [reason, names] : groups)
    out << "  left aside (" << reason << "): " << some_of(names) << "\n";
  if (!missing.empty()) out << "  missing: " << some_of(missing) << "\n";
  std::vector<std::string> wrong;
  for (const WrongShape& w : wrong_shape) {
    wrong.push_back(concat(w.held, " has shape ", w.held_shape, ", the model needs ", w.wanted_shape));
  }
  out << lines_of(wrong, "  ") << (wrong.empty() ? "" : "\n");
  return out.str();
}

void MatchReport::require_complete(std::string_view what) const {
  std::vector<std::string> lines;
  for (const WrongShape& w : wrong_shape) {
    lines.push_back(
        concat("'", w.held, "' has shape ", w.held_shape, ", '", w.wanted, "' needs ", w.wanted_shape));
  }
  require<ShapeError>(lines.empty(), what, ": ", lines.size(),
                      lines.size() == 1 ? " tensor has another shape:\n" : " tensors have another shape:\n",
                      lines_of(lines, "  "));
  if (missing.empty()) return;
  std::vector<std::string> names, strangers;
  for (const std::string& name : missing) names.push_back("'" + name + "'");
  for (const Aside& a : left_aside) {
    if (a.reason.empty()) strangers.push_back("'" + a.held + "'");
  }
  throw FormatError(
      concat(what, ": ", names.size(),
             names.size() == 1 ? " tensor is missing:\n  " : " tensors are missing:\n  ", some_of(names),
             strangers.empty() ? "" : "\n  the file has, unknown to the model: ", some_of(strangers)));
}

StateDict matched_tensors(const MatchReport& report, const StateDict& file, std::string_view what) {
  report.require_complete(what);
  StateDict tensors;
  for (const MatchReport::Pair& pair : report.matched) tensors.insert(pair.wanted, file.at(pair.held));
  return tensors;
}

NameMap ir50_names(std::array<int, 3> units) {
  NameMap names;
  names.title = "image backbone (IR50)";
  for (const char* prefix : {"ir_back.", "image_backbone.", "backbone."})
    names.renames.push_back(rename_prefix(prefix, ""));
  names.renames.push_back(renumber("body1", "body", 0));
  names.renames.push_back(renumber("body2", "body", units[0]));
  names.renames.push_back(renumber("body3", "body", units[0] + units[1]));
  const int end = units[0] + units[1] + units[2];
  names.asides.push_back(
      refuse("body\\.[0-9]+\\.res_layer\\.5\\..*", "this is IR-SE, whose units have a gate that IR50 lacks"));
  names.asides.push_back({[end](const std::string& name) {
                            if (!starts_with(name, "body.")) return false;
                            return leading_number(std::string_view(name).substr(5)).value_or(0) >= end;
                          },
                          "the fourth stage of IR50, which FERNet cuts off", false});
  names.asides.push_back(leave_aside("output_layer\\..*", "the embedding layer of IR50"));
  return names;
}

NameMap mobilefacenet_names() {
  NameMap names;
  names.title = "landmark backbone (MobileFaceNet)";
  for (const char* prefix : {"face_landback.", "landmark_backbone."})
    names.renames.push_back(rename_prefix(prefix, ""));
  names.asides.push_back(leave_aside("(conv_45|conv_5|conv_6_sep|output_layer)\\..*",
                                     "the landmark head, behind the 14 x 14 map"));
  return names;
}

NameMap poster_names() {
  NameMap names;
  names.title = "POSTER";
  names.asides.push_back(leave_aside("ir_back\\.output_layer\\..*\\.(weight|bias|running_mean|running_var)",
                                     "the embedding layer of IR50"));
  names.asides.push_back(leave_aside("pyramid_fuse\\.cls_token", "a class token that no result depends on"));
  names.asides.push_back(leave_aside("optimizer/.*", "the optimizer's state"));
  return names;
}

NameMap fernet_names() {
  NameMap names;
  names.title = "FERNet";
  names.asides.push_back(leave_aside("landmark_backbone\\.(conv_45|conv_5|conv_6_sep|output_layer)\\..*",
                                     "the landmark head, behind the 14 x 14 map"));
  return names;
}

}  // namespace fer
