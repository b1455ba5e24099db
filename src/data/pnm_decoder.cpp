// PNM, the format of older face data sets: a text header, then the raw samples.
#include <cctype>

#include "data/image_decoders.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

/// The next number of the header, after white space and comments; -1 if there is none.
std::int64_t header_number(ImageBytes bytes, std::size_t& at) {
  while (at < bytes.size() && (std::isspace(bytes[at]) || bytes[at] == '#')) {
    if (bytes[at] == '#') {
      while (at < bytes.size() && bytes[at] != '\n') ++at;
    } else {
      ++at;
    }
  }
  constexpr std::int64_t largest = 1'000'000'000;
  std::int64_t value = -1;
  for (; at < bytes.size() && std::isdigit(bytes[at]) && value < largest; ++at)
    value = std::max<std::int64_t>(value, 0) * 10 + (bytes[at] - '0');
  return value;
}

}  // namespace

Image decode_pnm(ImageBytes bytes, const std::string& name) {
  const bool grey = bytes[1] == '5';
  require<FormatError>(grey || bytes[1] == '6', "'", name, "' is a PNM of kind P", char(bytes[1]),
                       "; those that are read are P5 and P6, binary grey and colour");
  std::size_t at = 2;
  const std::int64_t width = header_number(bytes, at), height = header_number(bytes, at);
  const std::int64_t white = header_number(bytes, at);
  require<FormatError>(width >= 0 && height >= 0 && white >= 1 && white <= 65535 && at < bytes.size(), "'",
                       name, "' is a damaged PNM: its header is invalid");
  require_pixel_count(width, height, name);
  const std::size_t channels = grey ? 1 : 3, size = white > 255 ? 2 : 1;
  const auto samples = static_cast<std::size_t>(width * height) * channels;
  ++at;  // one white space ends the header
  if (samples * size > bytes.size() - at)
    throw_truncated(name, "PNM", "its data ends before the picture does");
  Image image(static_cast<int>(height), static_cast<int>(width), static_cast<int>(channels));
  for (std::size_t i = 0; i < samples; ++i) {
    const auto value = static_cast<std::int64_t>(big_endian(bytes, at + i * size, static_cast<int>(size)));
    // 16-bit samples keep their high byte, as in PNG
    image.pixels[i] =
        static_cast<std::uint8_t>(white == 65535 ? value >> 8 : std::min(value, white) * 255 / white);
  }
  return image;
}

}  // namespace fer::detail
