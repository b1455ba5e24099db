#include "data/codecs/heif_module.h"
#include "tensor/module_loader.h"

namespace fer::detail {

Image decode_heif(ImageBytes bytes, ImageMarkers& markers, const std::string& name) {
  static const auto& module =
      *static_cast<const HeifModule*>(load_module("HEIC and AVIF", "fer_heif", "fer_heif_module"));
  return module.decode(bytes, markers, name);
}

std::string heif_library() {
  return "libheif, loaded when it is used";
}

}  // namespace fer::detail
