// WebP in a build without libwebp.
#include "data/image_decoders.h"

namespace fer::detail {

Image decode_webp(ImageBytes, ImageMarkers& markers, const std::string& name) {
  throw_no_decoder(markers, name, "libwebp", "libwebp-dev");
}
std::string webp_library() {
  return "";
}

}  // namespace fer::detail
