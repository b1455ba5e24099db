#include "fer/formats/input_spec.h"

#include <algorithm>

#include "fer/error.h"
#include "fer/nearest.h"
#include "formats/json_text.h"

namespace fer {
namespace {

// Incremented when a key changes its meaning, or when a key is added that must not be ignored.
constexpr int spec_version = 1;

/// A value for an error message, shortened if it is long.
std::string shown(const Json& value) {
  const std::string text = value.dump();
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

/// Reads the values of one specification and words the errors in them.
class SpecReader {
 public:
  SpecReader(const std::string& text, const std::string& source)
      : where_(concat(source, ": '", input_key, "' in its metadata")) {
    json_ = parse_json(text, where_);
    require<FormatError>(json_.is_object(), where_, " must be a JSON object, got ", shown(json_));
  }

  /// Requires exactly these keys.
  void require_keys(const std::vector<std::string>& keys) const {
    for (const std::string& key : keys)
      require<FormatError>(json_.contains(key), where_, " lacks '", key, "'");
    for (const auto& [key, value] : json_.items())
      require<FormatError>(std::find(keys.begin(), keys.end(), key) != keys.end(), where_,
                           " has an unknown key '", key, "'");
  }

  const Json& at(const char* key) const {
    require<FormatError>(json_.contains(key), where_, " lacks '", key, "'");
    return json_[key];
  }

  double number(const char* key, const Json& value, double least, double most) const {
    if (!within(value, least, most)) fail(key, concat("a number from ", least, " to ", most), value);
    return value.get<double>();
  }

  std::int64_t whole_number(const char* key, std::int64_t least, std::int64_t most) const {
    const Json& value = at(key);
    const bool fits =
        value.is_number_integer() && within(value, static_cast<double>(least), static_cast<double>(most));
    if (!fits) fail(key, concat("a whole number from ", least, " to ", most), value);
    return value.get<std::int64_t>();
  }

  std::array<double, 3> channels(const char* key, double least, double most) const {
    const Json& value = at(key);
    if (!value.is_array() || value.size() != 3) fail(key, "a list of three numbers", value);
    std::array<double, 3> numbers{};
    for (std::size_t c = 0; c < 3; ++c) numbers[c] = number(key, value[c], least, most);
    return numbers;
  }

  InputColour colour() const {
    const Json& value = at("colour");
    for (const InputColour known : {InputColour::grey, InputColour::rgb}) {
      if (value == name_of(known)) return known;
    }
    fail("colour", "\"grey\" or \"rgb\"", value);
  }

  void require_version() const {
    const Json& value = at("version");
    require<FormatError>(value == spec_version, where_, " is of version ", shown(value),
                         ", this program reads version ", spec_version);
  }

 private:
  static bool within(const Json& value, double least, double most) {
    return value.is_number() && value.get<double>() >= least && value.get<double>() <= most;
  }

  [[noreturn]] void fail(const char* key, const std::string& expected, const Json& value) const {
    throw FormatError(concat(where_, ": '", key, "' must be ", expected, ", got ", shown(value)));
  }

  std::string where_;
  Json json_;
};

}  // namespace

std::string_view name_of(InputColour colour) {
  return colour == InputColour::grey ? "grey" : "rgb";
}

InputColour parse_input_colour(std::string_view name) {
  for (const InputColour known : {InputColour::grey, InputColour::rgb}) {
    if (name == name_of(known)) return known;
  }
  throw ConfigError(unknown_name("colour", name, {"grey", "rgb"}));
}

std::string to_json(const InputSpec& spec) {
  return Json{
      {"version", spec_version},       {"colour", name_of(spec.colour)},  {"size", spec.size},
      {"face_share", spec.face_share}, {"mean", spec.normalisation.mean}, {"std", spec.normalisation.std}}
      .dump();
}

InputSpec parse_input_spec(const std::string& text, const std::string& source) {
  const SpecReader reader(text, source);
  reader.require_version();
  reader.require_keys({"version", "colour", "size", "face_share", "mean", "std"});
  InputSpec spec;
  spec.colour = reader.colour();
  spec.size = reader.whole_number("size", 1, 4096);
  const Json& share = reader.at("face_share");
  spec.face_share = share == 0 ? 0 : reader.number("face_share", share, 0.1, 2);
  spec.normalisation.mean = reader.channels("mean", 0, 1);
  spec.normalisation.std = reader.channels("std", 0.001, 10);
  return spec;
}

std::string description_of(const InputSpec& spec) {
  return concat(spec.colour == InputColour::grey ? "grey" : "colour", " pictures of ", spec.size, " x ",
                spec.size,
                spec.face_share == 0
                    ? ""
                    : concat(", in which a detected face box takes ", spec.face_share, " of the side"));
}

}  // namespace fer
