// The operands of pickle's protocol 0, which are lines of text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fer::detail {

/// An integer in decimal, with or without Python 2's L at its end, as the fewest bytes of its two's
/// complement, the lowest first. None if it is not one, or has more than 300 digits.
std::optional<std::string> parse_decimal(std::string_view digits);
/// A text in quotes, with Python's escapes. None without the quotes.
std::optional<std::string> parse_string(std::string_view quoted);
/// UTF-8 of a line in which a code point is a byte, or \uXXXX, or \UXXXXXXXX.
std::string parse_unicode(std::string_view line);

}  // namespace fer::detail
