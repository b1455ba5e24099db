// The operands of pickle's protocol 0, which are lines of text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fer::detail {

/// A decimal integer, with or without Python 2's trailing L, as the shortest little-endian two's complement.
/// None if it is not an integer or has more than 300 digits.
std::optional<std::string> parse_decimal(std::string_view digits);
/// A quoted text with Python's escapes. None if the quotes are missing.
std::optional<std::string> parse_string(std::string_view quoted);
/// A line as UTF-8. Each code point of the line is a byte, \uXXXX or \UXXXXXXXX.
std::string parse_unicode(std::string_view line);

}  // namespace fer::detail
