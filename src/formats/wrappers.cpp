#include "formats/wrappers.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

#include "fer/error.h"
#include "fer/formats/matching.h"

namespace fer {
namespace {

/// Components that only wrappers use, never a network.
constexpr std::array<std::string_view, 4> wrappers_anywhere{"_orig_mod", "_fsdp_wrapped_module",
                                                            "_checkpoint_wrapped_module", "_forward_module"};
/// Components that wrappers and training programs use, but networks as well.
constexpr std::array<std::string_view, 3> wrappers_perhaps{"module", "model", "net"};

// A name has few of them. The bound keeps a hostile one from having 2^n readings.
constexpr std::size_t most_readings_of = 6;
constexpr std::size_t longest_name = 1000;

template <std::size_t n>
bool is_one_of(const std::array<std::string_view, n>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::vector<std::string_view> components(std::string_view name) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('.', at), name.size());
    parts.push_back(name.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

/// The name without the components marked in `left_out`, which become `taken_off`.
FreedName without(const std::vector<std::string_view>& parts, const std::vector<bool>& left_out) {
  FreedName freed;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (left_out[i]) {
      freed.taken_off += concat(parts[i], ".");
    } else {
      freed.name += (freed.name.empty() ? "" : ".") + std::string(parts[i]);
    }
  }
  return freed;
}

}  // namespace

std::optional<FreedName> free_of_wrappers(const std::string& name, const KnownName& known) {
  if (name.size() > longest_name) return std::nullopt;
  const std::vector<std::string_view> parts = components(name);
  std::vector<std::size_t> at;  // positions of components that may be a wrapper's; never the last
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    if (is_one_of(wrappers_perhaps, parts[i]) || is_one_of(wrappers_anywhere, parts[i])) at.push_back(i);
  }
  if (at.empty()) return std::nullopt;
  at.resize(std::min(at.size(), most_readings_of));
  std::optional<FreedName> best;
  int fewest = 0;
  for (unsigned choice = 1; choice < 1u << at.size(); ++choice) {
    const int count = __builtin_popcount(choice);
    if (best && count >= fewest) continue;
    std::vector<bool> left_out(parts.size());
    for (std::size_t i = 0; i < at.size(); ++i) left_out[at[i]] = choice >> i & 1;
    FreedName freed = without(parts, left_out);
    if (!known(freed.name)) continue;
    best = std::move(freed);
    fewest = count;
  }
  return best;
}

std::string text_of(const std::vector<TakenOff>& taken_off) {
  std::vector<std::string> parts;
  for (const TakenOff& t : taken_off) {
    parts.push_back(concat("'", t.prefix, "' from ", t.names, t.names == 1 ? " name" : " names"));
  }
  return some_of(parts);
}

std::string some_of(const std::vector<std::string>& names, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > most) text += concat(" and ", names.size() - most, " more");
  return text;
}

std::vector<std::string> notes(const StateFile& file) {
  std::vector<std::string> lines;
  if (!file.module.empty())
    lines.push_back("the parameters and buffers of a pickled module of class " + file.module);
  if (!file.taken_off.empty()) lines.push_back("removed: " + text_of(file.taken_off));
  if (!file.widened.empty()) lines.push_back(some_of(file.widened));
  if (!file.skipped.empty()) lines.push_back("left aside, not tensors: " + some_of(file.skipped));
  if (!file.inert.empty()) lines.push_back("inert, neither imported nor called: " + some_of(file.inert));
  if (!file.others.empty()) {
    std::vector<std::string> flags;
    for (const std::string& key : file.others) flags.push_back("--key " + key);
    lines.push_back("it also holds other weights of this network; to choose them: " + some_of(flags));
  }
  return lines;
}

std::vector<std::string> notes(const StateFile& file, const MatchReport& report) {
  StateFile read;  // what notes() reports on, without the tensors
  read.module = file.module;
  read.taken_off = file.taken_off;
  read.taken_off.insert(read.taken_off.end(), report.taken_off.begin(), report.taken_off.end());
  read.widened = file.widened;
  read.skipped = file.skipped;
  read.inert = file.inert;
  read.others = file.others;
  std::vector<std::string> lines = notes(read);
  std::vector<std::string> strangers;
  for (const MatchReport::Aside& aside : report.left_aside) {
    if (aside.reason.empty()) strangers.push_back(aside.held);
  }
  if (!strangers.empty())
    lines.push_back(concat("left aside, not known to this model: ", some_of(strangers)));
  return lines;
}

void detail::add_taken_off(std::vector<TakenOff>& taken_off, const std::string& prefix) {
  const auto found = std::find_if(taken_off.begin(), taken_off.end(),
                                  [&prefix](const TakenOff& t) { return t.prefix == prefix; });
  if (found == taken_off.end()) {
    taken_off.push_back({prefix, 1});
  } else {
    ++found->names;
  }
}

void detail::rename_tensors(StateFile& file, const std::vector<std::string>& names, const std::string& what) {
  StateDict renamed;
  std::unordered_map<std::string_view, std::string_view> before;  // old name by new name
  std::size_t i = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const auto [other, is_new] = before.emplace(names[i], name);
    require<FormatError>(is_new, what, ": '", name, "' and '", other->second, "' both become '", names[i],
                         "' without their prefixes");
    renamed.insert(names[i++], tensor);
  }
  file.tensors = std::move(renamed);
}

void detail::strip_wrappers(StateFile& file, const std::string& what) {
  std::vector<std::string> names;
  bool changed = false;
  for (const auto& [name, tensor] : file.tensors) {
    const std::vector<std::string_view> parts = components(name);
    std::vector<bool> left_out(parts.size());
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) left_out[i] = is_one_of(wrappers_anywhere, parts[i]);
    FreedName freed = without(parts, left_out);
    if (!freed.taken_off.empty()) add_taken_off(file.taken_off, freed.taken_off);
    changed |= !freed.taken_off.empty();
    names.push_back(freed.taken_off.empty() ? name : std::move(freed.name));
  }
  constexpr std::string_view module = "module.";
  const auto wrapped = [&](const std::string& name) { return name.starts_with(module); };
  while (!names.empty() && std::all_of(names.begin(), names.end(), wrapped)) {
    for (std::string& name : names) {
      name.erase(0, module.size());
      add_taken_off(file.taken_off, std::string(module));
    }
    changed = true;
  }
  if (changed) rename_tensors(file, names, what);
}

void detail::strip_prefix(StateFile& file, const std::string& prefix, const std::string& what) {
  std::vector<std::string> names;
  const std::string dotted = prefix.ends_with('.') ? prefix : prefix + ".";
  bool changed = false;
  for (const auto& [name, tensor] : file.tensors) {
    const bool begins = name.size() > dotted.size() && name.starts_with(dotted);
    names.push_back(begins ? name.substr(dotted.size()) : name);
    if (begins) add_taken_off(file.taken_off, dotted);
    changed |= begins;
  }
  std::vector<std::string> held;
  for (const auto& [name, tensor] : file.tensors) held.push_back(name);
  require<FormatError>(changed, what, ": no name begins with '", dotted, "'; the names are ", some_of(held));
  rename_tensors(file, names, what);
}

void free_names(StateFile& file, const KnownName& known, const std::string& what) {
  std::vector<std::string> held;
  for (const auto& [name, tensor] : file.tensors) held.push_back(name);
  if (held.empty()) return;
  const auto count_known = [&known](const std::vector<std::string>& names) {
    return std::count_if(names.begin(), names.end(), known);
  };
  // A prefix that all names share is removed from all of them, including those that stay unknown.
  std::vector<std::string> names = held;
  std::string taken_from_all;
  std::string prefix;
  for (const std::string_view part : components(held.front())) {
    prefix += concat(part, ".");
    const bool shared = is_one_of(wrappers_perhaps, part) &&
                        std::all_of(held.begin(), held.end(), [&prefix](const std::string& name) {
                          return name.size() > prefix.size() && name.starts_with(prefix);
                        });
    if (!shared) break;
    std::vector<std::string> bare;
    for (const std::string& name : held) bare.push_back(name.substr(prefix.size()));
    if (count_known(bare) <= count_known(names)) continue;
    names = std::move(bare);
    taken_from_all = prefix;
  }
  std::vector<TakenOff> taken_off = file.taken_off;
  for (std::string& name : names) {
    std::string taken = taken_from_all;
    if (!known(name)) {
      if (auto freed = free_of_wrappers(name, known)) {
        name = std::move(freed->name);
        taken += freed->taken_off;
      }
    }
    if (!taken.empty()) detail::add_taken_off(taken_off, taken);
  }
  // An unknown network keeps its names. Otherwise the few that match by chance would be renamed apart from
  // the rest.
  if (names == held || 2 * count_known(names) < static_cast<std::ptrdiff_t>(names.size())) return;
  detail::rename_tensors(file, names, what);
  file.taken_off = std::move(taken_off);
}

}  // namespace fer
