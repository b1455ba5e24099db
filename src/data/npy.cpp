// The .npy format, versions 1 to 3: "\x93NUMPY", version, header length, a Python dictionary with the element
// type (descr), the memory order and the shape, then the elements.
#include "data/npy.h"

#include <bit>
#include <charconv>
#include <cstring>
#include <string_view>

#include "data/file_io.h"
#include "fer/error.h"
#include "fer/formats/atomic_file.h"

namespace fer::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "little-endian arrays are read as they are");

/// The header's text from after `'key':` to the end.
std::string_view value_of(std::string_view header, std::string_view key, const std::string& name) {
  const std::size_t at = header.find(concat("'", key, "':"));
  require<FormatError>(at != std::string_view::npos, "'", name, "': the .npy header has no '", key, "'");
  std::string_view rest = header.substr(at + key.size() + 3);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  return rest;
}

struct Header {
  char kind = 0;         // i, u, f, U or S
  std::size_t size = 0;  // bytes per element
  std::size_t count = 1;
  std::size_t data = 0;  // where the elements begin
};

Header read_header(std::span<const std::uint8_t> bytes, const std::string& name) {
  require<FormatError>(bytes.size() >= 12 && std::memcmp(bytes.data(), "\x93NUMPY", 6) == 0, "'", name,
                       "' is not a .npy file");
  const int major = bytes[6];
  require<FormatError>(major >= 1 && major <= 3, "'", name, "': .npy version ", major,
                       " is unknown; known are 1 to 3");
  const std::size_t start = major == 1 ? 10 : 12;
  std::size_t length = bytes[8] | static_cast<std::size_t>(bytes[9]) << 8;
  if (major > 1)
    length |= static_cast<std::size_t>(bytes[10]) << 16 | static_cast<std::size_t>(bytes[11]) << 24;
  require<FormatError>(length <= bytes.size() - start, "'", name,
                       "' is a truncated .npy file: its header is cut");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + start, length);

  Header header;
  header.data = start + length;
  std::string_view descr = value_of(text, "descr", name);
  require<FormatError>(descr.size() > 1 && descr[0] == '\'', "'", name,
                       "': structured .npy types are not read");
  descr = descr.substr(1, descr.find('\'', 1) - 1);
  std::int64_t width = 0;
  const bool known = descr.size() >= 3 && (descr[0] == '<' || descr[0] == '|' || descr[0] == '=') &&
                     std::string_view("iufUS").find(descr[1]) != std::string_view::npos &&
                     parse_integer(descr.substr(2), width) && width > 0 && width <= 4096;
  require<FormatError>(known, "'", name, "': the .npy element type '", descr,
                       "' is not read; numbers and strings are");
  header.kind = descr[1];
  header.size = static_cast<std::size_t>(width) * (header.kind == 'U' ? 4 : 1);
  require<FormatError>(
      header.kind == 'U' || header.kind == 'S' || width == 1 || width == 2 || width == 4 || width == 8, "'",
      name, "': the .npy element type '", descr, "' is not read");

  std::string_view shape = value_of(text, "shape", name);
  const std::size_t close = shape.find(')');
  require<FormatError>(shape.starts_with('(') && close != std::string_view::npos, "'", name,
                       "': the .npy shape is damaged");
  shape = shape.substr(1, close - 1);
  while (!trim(shape).empty()) {
    const std::size_t comma = shape.find(',');
    std::int64_t extent = -1;
    require<FormatError>(
        parse_integer(trim(shape.substr(0, comma)), extent) && extent >= 0 && extent <= (1 << 24), "'", name,
        "': the .npy shape is damaged");
    header.count *= static_cast<std::size_t>(extent);
    require<FormatError>(header.count <= (std::size_t{1} << 28), "'", name, "': the .npy array is too large");
    if (comma == std::string_view::npos) break;
    shape.remove_prefix(comma + 1);
  }
  require<FormatError>(bytes.size() - header.data == header.count * header.size, "'", name,
                       "' is a damaged .npy file: expected ", header.count * header.size,
                       " bytes of elements, got ", bytes.size() - header.data);
  return header;
}

template <typename T>
double load(const std::uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return static_cast<double>(value);
}

double number_at(const std::uint8_t* p, const Header& h, const std::string& name) {
  if (h.kind == 'f' && h.size == 4) return load<float>(p);
  if (h.kind == 'f' && h.size == 8) return load<double>(p);
  if (h.kind == 'i') {
    return h.size == 1   ? load<std::int8_t>(p)
           : h.size == 2 ? load<std::int16_t>(p)
           : h.size == 4 ? load<std::int32_t>(p)
                         : load<std::int64_t>(p);
  }
  if (h.kind == 'u') {
    return h.size == 1   ? load<std::uint8_t>(p)
           : h.size == 2 ? load<std::uint16_t>(p)
           : h.size == 4 ? load<std::uint32_t>(p)
                         : load<std::uint64_t>(p);
  }
  std::string text;
  const std::size_t step = h.kind == 'U' ? 4 : 1;
  for (std::size_t i = 0; i < h.size && p[i] != 0; i += step) text += static_cast<char>(p[i]);
  double value = 0;
  const std::string_view trimmed = trim(text);
  const auto [end, error] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), value);
  require<FormatError>((h.kind == 'U' || h.kind == 'S') && error == std::errc() &&
                           end == trimmed.data() + trimmed.size() && !trimmed.empty(),
                       "'", name, "': '", text, "' in the .npy array is not a number");
  return value;
}

}  // namespace

std::vector<double> read_npy(const std::filesystem::path& path) {
  const std::string name = path.string();
  const std::vector<std::byte> contents = read_file(path);
  const std::span<const std::uint8_t> bytes = numbers_of(contents);
  const Header header = read_header(bytes, name);
  std::vector<double> values(header.count);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = number_at(bytes.data() + header.data + i * header.size, header, name);
  }
  return values;
}

double read_npy_scalar(const std::filesystem::path& path) {
  const std::vector<double> values = read_npy(path);
  require<FormatError>(values.size() == 1, "'", path.string(), "': expected one element, got ",
                       values.size());
  return values[0];
}

std::optional<float> affectnet_arousal(const std::filesystem::path& path) {
  const double value = read_npy_scalar(path);
  if (value == -2) return std::nullopt;
  require<DataError>(value >= -1 && value <= 1, "'", path.string(), "': arousal must be -1 to 1, or -2, got ",
                     value);
  return static_cast<float>(value);
}

Landmarks affectnet_landmarks(const std::filesystem::path& path, int width, int height) {
  const std::vector<double> values = read_npy(path);
  require<DataError>(values.size() == 136, "'", path.string(), "': expected 136 coordinates, got ",
                     values.size());
  Landmarks points{};
  for (std::size_t i = 0; i < points.size(); ++i) {
    points[i] = {static_cast<float>(values[2 * i] / width), static_cast<float>(values[2 * i + 1] / height)};
  }
  return points;
}

}  // namespace fer::detail
