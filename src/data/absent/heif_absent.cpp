// HEIC and AVIF in a build without libheif.
#include "data/image_decoders.h"

namespace fer::detail {

Image decode_heif(ImageBytes, ImageMarkers& markers, const std::string& name) {
  throw_no_decoder(markers, name, "libheif", "libheif-dev");
}
std::string heif_library() {
  return "";
}

}  // namespace fer::detail
