// Walks over the segments, chunks or blocks of a picture file before any pixel is decoded: collects what the
// file claims, and checks that it is complete.
#pragma once

#include <cstdint>
#include <string>

#include "data/image_format.h"

namespace fer::detail {

struct ImageMarkers {
  ImageFormat format = ImageFormat::unknown;
  std::int64_t width = 0, height = 0;  ///< as stored; 0 if only the format's library knows it
  int orientation = 1;                 ///< EXIF, 1 to 8
  bool more = false;                   ///< an animation
  bool arithmetic = false;             ///< JPEG: arithmetic coding
  bool interlaced = false;             ///< PNG
  int components = 0;                  ///< JPEG
  std::size_t scan_end = 0;            ///< JPEG: end of the last scan's data; 0: there is no scan
  std::int64_t frame_pixels = 0;       ///< GIF: of the first picture, at most the screen
};

/// FormatError, naming the file, if
/// - the contents are not a picture;
/// - the file is truncated or its PNG checksums are wrong;
/// - a JPEG's scans omit a part, or its kind or colours cannot be decoded;
/// - the bytes cannot hold the claimed pixels, or there are more than 2^28 pixels.
ImageMarkers read_markers(ImageBytes bytes, const std::string& name);

// The parts of read_markers().
ImageMarkers read_jpeg_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_png_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_gif_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_bmp_markers(ImageBytes bytes, const std::string& name);
ImageMarkers read_webp_markers(ImageBytes bytes, const std::string& name);

/// FormatError unless the number of pixels is 1 to 2^28.
void require_pixel_count(std::int64_t width, std::int64_t height, const std::string& name);
/// FormatError if `bytes` bytes cannot hold `pixels` pixels at `most` pixels per byte.
void require_capacity(std::int64_t pixels, double most, std::size_t bytes, const ImageMarkers& markers,
                      const std::string& name);
/// The bound for formats that compress a uniform picture without limit: 2^22 pixels, or 4096 per byte. Also
/// calls require_pixel_count().
void require_plausible_size(std::int64_t width, std::int64_t height, std::size_t bytes,
                            const std::string& name);

[[noreturn]] void throw_truncated(const std::string& name, const char* format, const char* what);

}  // namespace fer::detail
