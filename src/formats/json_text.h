// The only JSON reader: bounded in depth, size and time, and strict about numbers and keys.
#pragma once

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fer/error.h"

namespace fer {

using Json = nlohmann::ordered_json;

/// A number that its type cannot hold.
struct JsonRangeError : FormatError {
  using FormatError::FormatError;
};

/// The limits of a text: far above what fer writes, and low enough not to fill a small machine.
struct JsonLimits {
  std::size_t bytes = std::size_t{256} << 20;
  std::size_t values = 10'000'000;  ///< objects, lists, numbers, texts, ...
  std::size_t keys = 10'000;        ///< per object, because its look-ups are linear
  std::size_t depth = 64;
};

/// Parses `text` in time linear in its length.
/// - FormatError, naming `source` and the key, if it is not JSON or exceeds the limits, if a key occurs twice
///   in an object, or if a text is not UTF-8.
/// - JsonRangeError if a number overflows a double, or a whole number 64 bits.
Json parse_json(std::string_view text, const std::string& source, const JsonLimits& limits = {});

/// parse_json() of a whole file. IoError if it cannot be read.
Json read_json(const std::filesystem::path& path, const JsonLimits& limits = {});

/// The value as text for a message, at most 80 characters.
std::string excerpt_of(const Json& value);
/// `text` for a message: at most `most` bytes, and only UTF-8.
std::string excerpt(std::string_view text, std::size_t most = 80);

bool is_utf8(std::string_view text);

namespace detail {

template <typename T>
constexpr bool is_json_list = false;
template <typename T>
constexpr bool is_json_list<std::vector<T>> = true;

/// What a field of type T accepts, in words.
template <typename T>
constexpr const char* json_kind() {
  if constexpr (is_json_list<T>) {
    using Item = typename T::value_type;
    if constexpr (std::is_integral_v<Item>) return "a list of whole numbers";
    if constexpr (std::is_floating_point_v<Item>) return "a list of numbers";
    return "a list of strings";
  }
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_integral_v<T> && std::is_unsigned_v<T>) return "a whole number, not negative";
  if constexpr (std::is_integral_v<T>) return "a whole number";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  return "a string";
}

template <typename T>
bool has_kind(const Json& value) {
  if constexpr (is_json_list<T>) {
    if (!value.is_array()) return false;
    for (const Json& item : value) {
      if (!has_kind<typename T::value_type>(item)) return false;
    }
    return true;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean();
  } else if constexpr (std::is_integral_v<T>) {
    return value.is_number_integer() && (std::is_signed_v<T> || value.is_number_unsigned());
  } else if constexpr (std::is_floating_point_v<T>) {
    return value.is_number();
  } else {
    return value.is_string();
  }
}

template <typename T>
bool fits_in(const Json& value) {
  if constexpr (is_json_list<T>) {
    for (const Json& item : value) {
      if (!fits_in<typename T::value_type>(item)) return false;
    }
    return true;
  } else if constexpr (std::is_same_v<T, bool>) {
    return true;
  } else if constexpr (std::is_integral_v<T>) {
    return value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                      : std::in_range<T>(value.get<std::int64_t>());
  } else if constexpr (std::is_floating_point_v<T>) {
    return std::abs(value.get<double>()) <= static_cast<double>(std::numeric_limits<T>::max());
  } else {
    return true;
  }
}

}  // namespace detail

/// Reads a bool, number, text or list of them. Throws E: "WHERE must be a whole number, got 1.5" for another
/// kind of value, "WHERE is out of range: 5000000000" for a number that T cannot hold.
template <typename T, typename E = FormatError>
T json_as(const Json& value, const std::string& where) {
  require<E>(detail::has_kind<T>(value), where, " must be ", detail::json_kind<T>(), ", got ",
             excerpt_of(value));
  require<E>(detail::fits_in<T>(value), where, " is out of range: ", excerpt_of(value));
  return value.get<T>();
}

/// The value under `key`. FormatError, naming `source` and `key`, if it is missing.
inline const Json& json_at(const Json& object, const char* key, const std::string& source) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  require<FormatError>(found != object.end(), source, ": '", key, "' is missing");
  return *found;
}

template <typename T>
T json_at(const Json& object, const char* key, const std::string& source) {
  const Json& value = json_at(object, key, source);
  return json_as<T>(value, concat(source, ": '", key, "'"));
}

/// Returns `otherwise` if the key is missing.
template <typename T>
T json_value(const Json& object, const char* key, T otherwise, const std::string& source) {
  return object.is_object() && object.contains(key) ? json_at<T>(object, key, source) : std::move(otherwise);
}

}  // namespace fer
