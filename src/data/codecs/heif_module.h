// The interface of the module for HEIC and AVIF. libheif loads video encoders and decoders, which would slow
// every start of the program, so it is loaded on first use.
#pragma once

#include "data/image_decoders.h"

namespace fer::detail {

struct HeifModule {
  Image (*decode)(ImageBytes, ImageMarkers&, const std::string&);
};

Image heif_module_decode(ImageBytes bytes, ImageMarkers& markers, const std::string& name);

}  // namespace fer::detail

/// The only symbol that the program looks up.
extern "C" const fer::detail::HeifModule fer_heif_module;
