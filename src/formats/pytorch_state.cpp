#include "formats/pytorch_state.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <sstream>

namespace fer::detail {
namespace {

/// A key as a name: texts and integers, which PyTorch's own containers have. Nothing for other keys.
std::optional<std::string> name_of_key(const PyValue& key) {
  if (key.is(PyValue::Kind::text)) return key.as_text();
  if (key.is(PyValue::Kind::integer)) return std::to_string(key.as_integer());
  return std::nullopt;
}

/// "epoch (an int), net (a dict of 12)"
std::string list_keys(const PyValue& dict) {
  constexpr std::size_t most = 20;
  std::string listed;
  for (std::size_t i = 0; i < dict.items().size() && i < most; ++i) {
    const PyItem& item = dict.items()[i];
    listed += concat(i ? ", " : "", name_of_key(item.key).value_or(item.key.describe()), " (",
                     item.value.describe(), ")");
  }
  if (dict.items().size() > most) listed += concat(", and ", dict.items().size() - most, " more");
  return listed.empty() ? "none" : listed;
}

bool holds_tensors(const PyValue& value) {
  if (!value.is(PyValue::Kind::dict)) return false;
  const auto& items = value.items();
  return std::any_of(items.begin(), items.end(),
                     [](const PyItem& i) { return i.value.is(PyValue::Kind::tensor); });
}

/// The dictionary under the dotted path `key`.
const PyValue& follow(const PyValue& root, const std::string& key, const std::string& name) {
  const PyValue* at = &root;
  std::istringstream parts(key);
  for (std::string part; std::getline(parts, part, '.');) {
    const PyValue* next = at->find(part);
    require<FormatError>(next != nullptr, name, ": has no '", part, "' of '", key, "'; the keys are ",
                         at->is(PyValue::Kind::dict) ? list_keys(*at) : at->describe());
    at = next;
  }
  require<FormatError>(holds_tensors(*at), name, ": '", key, "' is ", at->describe(),
                       " and holds no tensors");
  return *at;
}

/// The dictionary of tensors where training programs keep it, and the key it is under.
const PyValue& search(const PyValue& root, const std::string& name, std::string& found_under) {
  constexpr std::array<const char*, 3> usual{"state_dict", "model_state_dict", "model"};
  for (const char* key : usual) {
    const PyValue* value = root.find(key);
    if (!value || !value->is(PyValue::Kind::dict)) continue;
    // A model without parameters is saved as an empty dictionary.
    if (!holds_tensors(*value) && !(value->items().empty() && !holds_tensors(root))) continue;
    found_under = key;
    return *value;
  }
  require<FormatError>(
      holds_tensors(root) || root.items().empty(), name,
      ": holds no tensors at its top or under state_dict, model_state_dict or model; its keys "
      "are ",
      list_keys(root));
  return root;
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
      std::array<char, 32> digits{};  // the shortest decimal that reads back as this number
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
  require<FormatError>(root.is(PyValue::Kind::dict), name, ": holds ", root.describe(),
                       ", not a dictionary of tensors");
  const PyValue& dict = key.empty() ? search(root, name, file.found_under) : follow(root, key, name);
  if (!key.empty()) file.found_under = key;
  for (const PyItem& item : dict.items()) {
    const auto tensor_name = name_of_key(item.key);
    if (!tensor_name || !item.value.is(PyValue::Kind::tensor)) {
      file.skipped.push_back(
          concat(tensor_name.value_or(item.key.describe()), " (", item.value.describe(), ")"));
      continue;
    }
    require<FormatError>(!file.tensors.contains(*tensor_name), name, ": the tensor '", *tensor_name,
                         "' occurs twice");
    file.tensors.insert(*tensor_name, item.value.as_tensor());
  }
  if (&dict != &root) take_metadata(root, file.metadata);
}

}  // namespace fer::detail
