// TIFF in a build without libtiff.
#include "data/image_decoders.h"

namespace fer::detail {

Image decode_tiff(ImageBytes, ImageMarkers& markers, const std::string& name) {
  throw_no_decoder(markers, name, "libtiff", "libtiff-dev");
}
std::string tiff_library() {
  return "";
}

}  // namespace fer::detail
