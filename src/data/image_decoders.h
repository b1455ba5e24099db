// The decoders behind decode_image(), one for each library. They are given a file whose markers were read,
// and return its pixels as stored, not yet turned. FormatError, naming the file, for what they cannot decode.
#pragma once

#include <string>

#include "data/image_markers.h"
#include "fer/data/image.h"

namespace fer::detail {

/// JPEG, PNG, GIF and BMP by stb, which every build has.
Image decode_with_stb(ImageBytes bytes, const ImageMarkers& markers, const std::string& name);
/// PNM: binary grey (P5) and colour (P6).
Image decode_pnm(ImageBytes bytes, const std::string& name);

// In a build without the library, these are in the folder `absent`: JPEG goes to stb, and the others throw
// what says how to get the library. The last three set `markers` to what only the library knows.
Image decode_jpeg(ImageBytes bytes, const ImageMarkers& markers, const std::string& name);
Image decode_webp(ImageBytes bytes, ImageMarkers& markers, const std::string& name);
Image decode_tiff(ImageBytes bytes, ImageMarkers& markers, const std::string& name);
Image decode_heif(ImageBytes bytes, ImageMarkers& markers, const std::string& name);

// "libwebp 1.2.4"; empty if this build has none.
std::string jpeg_library();
std::string webp_library();
std::string tiff_library();
std::string heif_library();

/// What a decoder in `absent` throws.
[[noreturn]] void throw_no_decoder(const ImageMarkers& markers, const std::string& name, const char* library,
                                   const char* package);

}  // namespace fer::detail
