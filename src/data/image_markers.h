// A walk over the segments, chunks or blocks of a picture file, before any pixel is decoded: what the file
// claims, and whether it is whole.
#pragma once

#include <cstdint>
#include <string>

#include "data/image_format.h"

namespace fer::detail {

struct ImageMarkers {
  ImageFormat format = ImageFormat::unknown;
  std::int64_t width = 0, height = 0;  ///< as stored; 0 for formats whose library says it
  int orientation = 1;                 ///< EXIF, 1 to 8
  bool more = false;                   ///< an animation
  bool arithmetic = false;             ///< JPEG: arithmetic coding
  bool interlaced = false;             ///< PNG
  int components = 0;                  ///< JPEG
  std::size_t scan_end = 0;            ///< JPEG: where the data of the last scan ends; 0: there is no scan
  std::int64_t frame_pixels = 0;       ///< GIF: of the first picture, which may be a part of the screen
};

/// FormatError, naming the file, for contents that are no picture; for a file that is cut or whose PNG
/// checksums are wrong; for a JPEG whose scans leave out a part, or whose kind or colours cannot be decoded;
/// and where the bytes cannot hold the pixels that are claimed, or there are more than 2^28.
ImageMarkers read_markers(ImageBytes bytes, const std::string& name);

// What read_markers() is made of.
ImageMarkers read_jpeg_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_png_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_gif_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_bmp_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_webp_markers(ImageBytes bytes, const std::string& name);

/// FormatError unless there are 1 to 2^28 pixels.
void require_pixel_count(std::int64_t width, std::int64_t height, const std::string& name);
/// FormatError unless `bytes` bytes can hold so many pixels, where one holds `most` at best.
void require_capacity(std::int64_t pixels, double most, std::size_t bytes, const ImageMarkers& markers,
                      const std::string& name);
/// The bound of formats that compress an even picture without limit: 2^22 pixels, or 4096 a byte. It also
/// calls require_pixel_count().
void require_plausible_size(std::int64_t width, std::int64_t height, std::size_t bytes,
                            const std::string& name);

[[noreturn]] void throw_truncated(const std::string& name, const char* format, const char* what);

}  // namespace fer::detail
