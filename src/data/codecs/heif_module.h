// What the module of HEIC and AVIF offers to the program that loads it. libheif brings encoders and decoders
// of video, whose loading would slow every start.
#pragma once

#include "data/image_decoders.h"

namespace fer::detail {

struct HeifModule {
  Image (*decode)(ImageBytes, ImageMarkers&, const std::string&);
};

Image heif_module_decode(ImageBytes bytes, ImageMarkers& markers, const std::string& name);

}  // namespace fer::detail

/// The one symbol that is looked up.
extern "C" const fer::detail::HeifModule fer_heif_module;
