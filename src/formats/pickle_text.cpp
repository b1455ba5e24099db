#include "formats/pickle_text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace fer::detail {
namespace {

/// The number that the `count` digits at `at` form; none if there are fewer.
std::optional<std::uint32_t> digits_at(std::string_view text, std::size_t at, std::size_t count, int base) {
  if (at > text.size() || text.size() - at < count) return std::nullopt;
  std::uint32_t value = 0;
  const char* begin = text.data() + at;
  const auto [end, error] = std::from_chars(begin, begin + count, value, base);
  if (error != std::errc() || end != begin + count) return std::nullopt;
  return value;
}

void append_utf8(std::string& text, std::uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | (code >> 18 & 7));
    text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

/// The character of a one-letter escape; none for another letter.
std::optional<char> simple_escape(char letter) {
  constexpr std::string_view letters = "\\'\"abfnrtv";
  constexpr std::string_view meanings = "\\'\"\a\b\f\n\r\t\v";
  const std::size_t at = letters.find(letter);
  if (at == std::string_view::npos) return std::nullopt;
  return meanings[at];
}

}  // namespace

std::optional<std::string> parse_decimal(std::string_view digits) {
  if (digits.ends_with('L')) digits.remove_suffix(1);
  const bool negative = digits.starts_with('-');
  if (negative) digits.remove_prefix(1);
  const bool valid = !digits.empty() && digits.size() <= 300 &&
                     digits.find_first_not_of("0123456789") == std::string_view::npos;
  if (!valid) return std::nullopt;
  std::string bytes;  // the magnitude
  for (const char digit : digits) {
    unsigned carry = static_cast<unsigned>(digit - '0');
    for (char& byte : bytes) {
      carry += static_cast<unsigned char>(byte) * 10u;
      byte = static_cast<char>(carry & 255);
      carry >>= 8;
    }
    if (carry > 0) bytes += static_cast<char>(carry);
  }
  bytes += '\0';  // room for the sign
  if (negative) {
    unsigned carry = 1;
    for (char& byte : bytes) {
      carry += static_cast<unsigned char>(~byte);
      byte = static_cast<char>(carry & 255);
      carry >>= 8;
    }
  }
  const auto top_bit = [&bytes](std::size_t i) { return (bytes[i] & 0x80) != 0; };
  while (bytes.size() > 1 &&
         static_cast<unsigned char>(bytes.back()) == (top_bit(bytes.size() - 2) ? 255 : 0)) {
    bytes.pop_back();
  }
  return bytes;
}

std::optional<std::string> parse_string(std::string_view quoted) {
  const bool valid = quoted.size() >= 2 && quoted.front() == quoted.back() &&
                     (quoted.front() == '\'' || quoted.front() == '"');
  if (!valid) return std::nullopt;
  quoted = quoted.substr(1, quoted.size() - 2);
  std::string text;
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] != '\\' || i + 1 == quoted.size()) {
      text += quoted[i];
    } else if (const auto simple = simple_escape(quoted[i + 1])) {
      text += *simple;
      i += 1;
    } else if (const auto hex = digits_at(quoted, i + 2, 2, 16); hex && quoted[i + 1] == 'x') {
      text += static_cast<char>(*hex);
      i += 3;
    } else if (const auto octal = digits_at(quoted, i + 1, 3, 8)) {
      text += static_cast<char>(*octal);
      i += 3;
    } else {
      text += '\\';
    }
  }
  return text;
}

std::string parse_unicode(std::string_view line) {
  std::string text;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char kind = line[i] == '\\' && i + 1 < line.size() ? line[i + 1] : '\0';
    const std::size_t count = kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    const auto code = count > 0 ? digits_at(line, i + 2, count, 16) : std::nullopt;
    if (code && *code < 0x110000) {
      append_utf8(text, *code);
      i += 1 + count;
    } else {
      append_utf8(text, static_cast<unsigned char>(line[i]));
    }
  }
  return text;
}

}  // namespace fer::detail
