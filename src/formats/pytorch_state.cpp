#include "formats/pytorch_state.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <iterator>
#include <optional>
#include <sstream>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "formats/pickle_vm.h"

namespace fer::detail {
namespace {

/// A key as a name: text or an integer, as in PyTorch's own containers. None for other keys.
std::optional<std::string> name_of_key(const PyValue& key) {
  if (key.is(PyValue::Kind::text)) return key.as_text();
  if (key.is(PyValue::Kind::integer)) return std::to_string(key.as_integer());
  return std::nullopt;
}

/// "epoch (an int), net (a dict of 12)"
std::string list_keys(const PyValue& dict) {
  std::vector<std::string> keys;
  for (const PyItem& item : dict.items()) {
    keys.push_back(concat(printable(name_of_key(item.key).value_or(item.key.describe())), " (",
                          item.value.describe(), ")"));
  }
  return keys.empty() ? "none" : some_of(keys);
}

bool has_items(const PyValue& value) {
  return value.is(PyValue::Kind::dict) || value.is(PyValue::Kind::object);
}
bool has_elements(const PyValue& value) {
  return value.is(PyValue::Kind::list) || value.is(PyValue::Kind::tuple);
}
bool is_module(const PyValue& value) {
  return value.is(PyValue::Kind::object) && value.as_object().is_module;
}

std::size_t count_tensors(const PyValue& value) {
  if (!has_items(value)) return 0;
  const auto& items = value.items();
  return static_cast<std::size_t>(std::count_if(
      items.begin(), items.end(), [](const PyItem& i) { return i.value.is(PyValue::Kind::tensor); }));
}

/// The element or entry of `value` for one component of a path; null if there is none.
const PyValue* step(const PyValue& value, const std::string& part) {
  if (!has_elements(value)) return value.find(part);
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  const bool fits =
      error == std::errc() && end == part.data() + part.size() && index < value.elements().size();
  return fits ? &value.elements()[index] : nullptr;
}

/// The dictionary at the dotted path `key`.
const PyValue& follow(const PyValue& root, const std::string& key, const std::string& name) {
  const PyValue* at = &root;
  std::istringstream parts(key);
  for (std::string part; std::getline(parts, part, '.');) {
    const PyValue* next = step(*at, part);
    require<FormatError>(next != nullptr, name, ": has no '", part, "' of '", key, "'; ",
                         has_items(*at) ? "the keys are " + list_keys(*at) : "there is " + at->describe());
    at = next;
  }
  require<FormatError>(count_tensors(*at) > 0, name, ": '", key, "' is ", at->describe(),
                       " and holds no tensors");
  return *at;
}

/// A dictionary or pickled module that holds tensors, and the dotted path to it.
struct Candidate {
  std::string path;
  const PyValue* value;
  std::size_t tensors;
};

void find_candidates(const PyValue& value, const std::string& path, int depth,
                     std::vector<Candidate>& found) {
  constexpr int deepest = 4;
  constexpr std::size_t most_elements = 64;
  const std::size_t tensors = count_tensors(value);
  // An object that is not a module may be an optimizer's state or a result, so its tensors are not
  // considered.
  if (tensors > 0 && (value.is(PyValue::Kind::dict) || is_module(value)))
    found.push_back({path, &value, tensors});
  if (depth == deepest || is_module(value)) return;
  const auto descend = [&](const std::string& part, const PyValue& next) {
    if (part.find('.') != std::string::npos) return;  // a dotted path cannot address it
    find_candidates(next, path.empty() ? part : path + "." + part, depth + 1, found);
  };
  if (has_items(value)) {
    for (const PyItem& item : value.items()) {
      if (const auto key = name_of_key(item.key)) descend(*key, item.value);
    }
  } else if (has_elements(value) && value.elements().size() <= most_elements) {
    for (std::size_t i = 0; i < value.elements().size(); ++i) descend(std::to_string(i), value.elements()[i]);
  }
}

/// The lower-case words of a path: "model_EMA.net" has model, ema and net.
std::vector<std::string> words_of(const std::string& path) {
  std::vector<std::string> words(1);
  for (const char c : path) {
    const auto letter = static_cast<unsigned char>(c);
    if (std::isalpha(letter)) {
      words.back() += static_cast<char>(std::tolower(letter));
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  return words;
}

bool is_average(const Candidate& c) {
  constexpr std::array<std::string_view, 7> names{"ema",     "modelema", "swa",   "avg",
                                                  "average", "averaged", "shadow"};
  const std::vector<std::string> words = words_of(c.path);
  return std::any_of(words.begin(), words.end(), [&names](const std::string& word) {
    return std::find(names.begin(), names.end(), word) != names.end();
  });
}

/// Whether it is training state rather than weights.
bool is_of_training(const Candidate& c) {
  constexpr std::array<std::string_view, 7> starts{"optim", "sched",  "scaler",  "rng",
                                                   "loss",  "metric", "recorder"};
  const std::vector<std::string> words = words_of(c.path);
  return std::any_of(words.begin(), words.end(), [&starts](const std::string& word) {
    return std::any_of(starts.begin(), starts.end(),
                       [&word](std::string_view start) { return word.starts_with(start); });
  });
}

/// The names without the wrapper's prefix, to tell whether two dictionaries belong to one network.
std::unordered_set<std::string> bare_names(const PyValue& dict) {
  std::unordered_set<std::string> names;
  for (const PyItem& item : dict.items()) {
    std::string name = name_of_key(item.key).value_or("");
    while (name.starts_with("module.")) name.erase(0, 7);
    if (item.value.is(PyValue::Kind::tensor)) names.insert(std::move(name));
  }
  return names;
}

/// The dictionary of tensors under a key that training programs use, or else the one with the most tensors.
const PyValue& search(const PyValue& root, const std::string& name, std::string& found_under) {
  constexpr std::array<const char*, 8> usual{"state_dict", "model_state_dict", "model",   "net",
                                             "network",    "model_state",      "weights", "params"};
  for (const char* key : usual) {
    const PyValue* value = root.find(key);
    if (!value || !has_items(*value)) continue;
    // A model without parameters is saved as an empty dictionary.
    const bool empty = value->items().empty() && count_tensors(root) == 0;
    const bool holds = count_tensors(*value) > 0 && (value->is(PyValue::Kind::dict) || is_module(*value));
    if (!holds && !empty) continue;
    found_under = key;
    return *value;
  }
  std::vector<Candidate> all, chosen;
  find_candidates(root, "", 0, all);
  const auto weights = [](const Candidate& c) { return !is_of_training(c) && !is_average(c); };
  std::copy_if(all.begin(), all.end(), std::back_inserter(chosen), weights);
  if (chosen.empty()) std::copy_if(all.begin(), all.end(), std::back_inserter(chosen), is_average);
  if (chosen.empty()) {
    require<FormatError>(root.is(PyValue::Kind::dict) || is_module(root), name, ": holds ", root.describe(),
                         ", not a dictionary of tensors");
    require<FormatError>(root.items().empty(), name, ": holds no weights; its keys are ", list_keys(root));
    return root;
  }
  const auto most =
      std::max_element(chosen.begin(), chosen.end(),
                       [](const Candidate& a, const Candidate& b) { return a.tensors < b.tensors; });
  std::vector<std::string> rivals;
  for (const Candidate& c : chosen) {
    if (4 * c.tensors >= most->tensors)
      rivals.push_back(concat("'", c.path, "' (", c.tensors, c.tensors == 1 ? " tensor)" : " tensors)"));
  }
  require<FormatError>(rivals.size() == 1 || most->path.empty(), name,
                       ": holds several sets of weights: ", some_of(rivals), "; choose one with --key");
  found_under = most->path;
  return *most->value;
}

/// The keys of other weights of the same network, besides `dict`, from which the weights were taken.
std::vector<std::string> other_weights(const PyValue& root, const PyValue& dict) {
  const std::unordered_set<std::string> taken = bare_names(dict);
  std::vector<Candidate> all;
  find_candidates(root, "", 0, all);
  std::vector<std::string> others;
  for (const Candidate& c : all) {
    if (c.value == &dict || c.path.empty() || is_of_training(c)) continue;
    const std::unordered_set<std::string> names = bare_names(*c.value);
    const auto shared = static_cast<std::size_t>(std::count_if(
        names.begin(), names.end(), [&taken](const std::string& n) { return taken.contains(n); }));
    if ((shared > 0 && 2 * shared >= taken.size()) || (is_average(c) && c.tensors > 1))
      others.push_back(c.path);
  }
  return others;
}

std::optional<std::string> as_metadata(const PyValue& value) {
  switch (value.kind()) {
    case PyValue::Kind::text:
      return value.as_text();
    case PyValue::Kind::boolean:
      return value.as_boolean() ? "true" : "false";
    case PyValue::Kind::integer:
      return std::to_string(value.as_integer());
    case PyValue::Kind::real: {
      std::array<char, 32> digits{};  // the shortest decimal that parses to this number
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value.as_real());
      return std::string(digits.data(), end.ptr);
    }
    default:
      return std::nullopt;
  }
}

void take_metadata(const PyValue& root, Metadata& metadata) {
  const auto take = [&](const PyItem& item) {
    const auto key = name_of_key(item.key);
    const auto value = as_metadata(item.value);
    if (key && value) metadata.insert_or_assign(*key, *value);
  };
  for (const PyItem& item : root.items()) take(item);
  if (const PyValue* own = root.find("metadata"); own && own->is(PyValue::Kind::dict)) {
    for (const PyItem& item : own->items()) take(item);
  }
}

}  // namespace

void take_tensors(const PyValue& root, const std::string& key, const std::string& name, StateFile& file) {
  const PyValue& dict = key.empty() ? search(root, name, file.found_under) : follow(root, key, name);
  if (!key.empty()) file.found_under = key;
  if (is_module(dict)) file.module = dict.as_object().type;
  for (const PyItem& item : dict.items()) {
    const auto tensor_name = name_of_key(item.key);
    if (!tensor_name || !item.value.is(PyValue::Kind::tensor)) {
      file.skipped.push_back(
          concat(printable(tensor_name.value_or(item.key.describe())), " (", item.value.describe(), ")"));
      continue;
    }
    require<FormatError>(is_printable(*tensor_name), name, ": the name of a tensor is not a string: '",
                         printable(*tensor_name), "'");
    require<FormatError>(!file.tensors.contains(*tensor_name), name, ": the tensor '", *tensor_name,
                         "' occurs twice");
    file.tensors.insert(*tensor_name, item.value.as_tensor());
  }
  file.others = other_weights(root, dict);
  if (&dict != &root && has_items(root)) take_metadata(root, file.metadata);
}

}  // namespace fer::detail
