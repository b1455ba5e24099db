// WebP through libwebp; of an animation, the first picture.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "data/image_decoders.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

[[noreturn]] void webp_fail(VP8StatusCode status, const std::string& name) {
  if (status == VP8_STATUS_NOT_ENOUGH_DATA || status == VP8_STATUS_SUSPENDED)
    throw_truncated(name, "WebP", "its data ends before the picture does");
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  throw FormatError(concat(
      "'", name, "' is a damaged WebP: ",
      status == VP8_STATUS_UNSUPPORTED_FEATURE ? "it has an unknown feature" : "its data are invalid"));
}

Image first_of_animation(ImageBytes bytes, int width, int height, const std::string& name) {
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  const WebPData data{bytes.data(), bytes.size()};
  const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(
      WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  std::uint8_t* canvas = nullptr;  // RGBA, owned by the decoder
  int time = 0;
  if (!decoder || !WebPAnimDecoderGetNext(decoder.get(), &canvas, &time))
    webp_fail(VP8_STATUS_BITSTREAM_ERROR, name);
  Image image(height, width, 3);
  for (std::size_t i = 0; i < image.pixels.size() / 3; ++i)
    std::memcpy(image.pixels.data() + 3 * i, canvas + 4 * i, 3);
  return image;
}

}  // namespace

Image decode_webp(ImageBytes bytes, ImageMarkers& markers, const std::string& name) {
  WebPDecoderConfig config;
  WebPInitDecoderConfig(&config);
  const VP8StatusCode known = WebPGetFeatures(bytes.data(), bytes.size(), &config.input);
  if (known != VP8_STATUS_OK) webp_fail(known, name);
  const int width = config.input.width, height = config.input.height;
  require_plausible_size(width, height, bytes.size(), name);
  markers.width = width;
  markers.height = height;
  if (config.input.has_animation) return first_of_animation(bytes, width, height, name);
  Image image(height, width, 3);
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.pixels.data(), 3 * width, image.pixels.size()};
  const VP8StatusCode status = WebPDecode(bytes.data(), bytes.size(), &config);
  if (status != VP8_STATUS_OK) webp_fail(status, name);
  return image;
}

std::string webp_library() {
  const int version = WebPGetDecoderVersion();
  return concat("libwebp ", version >> 16, ".", version >> 8 & 255, ".", version & 255);
}

}  // namespace fer::detail
