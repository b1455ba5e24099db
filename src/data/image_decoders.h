// The decoders behind decode_image(), one per library. They receive a file whose markers were already read,
// and return its pixels as stored, not yet turned. FormatError, naming the file, for contents that they
// cannot decode.
#pragma once

#include <string>

#include "data/image_markers.h"
#include "fer/data/image.h"

namespace fer::detail {

/// JPEG, PNG, GIF and BMP by stb, which is part of every build.
Image decode_with_stb(ImageBytes bytes, const ImageMarkers& markers, const std::string& name);
/// PNM: binary grey (P5) and colour (P6).
Image decode_pnm(ImageBytes bytes, const std::string& name);

// In a build without the library, the folder `absent` has these: JPEG falls back to stb, the others throw an
// error that says how to get the library. The last three set the `markers` that only the library knows.
Image decode_jpeg(ImageBytes bytes, const ImageMarkers& markers, const std::string& name);
Image decode_webp(ImageBytes bytes, ImageMarkers& markers, const std::string& name);
Image decode_tiff(ImageBytes bytes, ImageMarkers& markers, const std::string& name);
Image decode_heif(ImageBytes bytes, ImageMarkers& markers, const std::string& name);

// "libwebp 1.2.4"; empty if this build lacks the library.
std::string jpeg_library();
std::string webp_library();
std::string tiff_library();
std::string heif_library();

/// What a decoder in `absent` throws.
[[noreturn]] void throw_no_decoder(const ImageMarkers& markers, const std::string& name, const char* library,
                                   const char* package);

}  // namespace fer::detail
