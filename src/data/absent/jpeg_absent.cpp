// JPEG in a build without libjpeg-turbo.
#include "data/image_decoders.h"

namespace fer::detail {

Image decode_jpeg(ImageBytes bytes, const ImageMarkers& markers, const std::string& name) {
  return decode_with_stb(bytes, markers, name);
}
std::string jpeg_library() {
  return "";
}

}  // namespace fer::detail
