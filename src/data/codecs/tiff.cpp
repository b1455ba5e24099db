// TIFF through libtiff, which converts every supported kind to 8 bits of red, green, blue and alpha.
#include <tiffio.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "data/image_decoders.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

struct TiffSource {
  ImageBytes bytes;
  std::size_t at = 0;
  std::string problem{};  ///< the first problem that libtiff reports
};

TiffSource& tiff_source(thandle_t handle) {
  return *static_cast<TiffSource*>(handle);
}

tmsize_t tiff_read(thandle_t handle, void* to, tmsize_t size) {
  TiffSource& source = tiff_source(handle);
  const std::size_t available = source.bytes.size() - std::min(source.at, source.bytes.size());
  const std::size_t count = std::min(available, static_cast<std::size_t>(size));
  if (count > 0) std::memcpy(to, source.bytes.data() + source.at, count);
  source.at += count;
  return static_cast<tmsize_t>(count);
}

tmsize_t tiff_write(thandle_t, void*, tmsize_t) {
  return 0;
}

toff_t tiff_seek(thandle_t handle, toff_t offset, int whence) {
  TiffSource& source = tiff_source(handle);
  const std::size_t from = whence == SEEK_CUR ? source.at : whence == SEEK_END ? source.bytes.size() : 0;
  return source.at = from + offset;
}

int tiff_close(thandle_t) {
  return 0;
}

toff_t tiff_size(thandle_t handle) {
  return tiff_source(handle).bytes.size();
}

int tiff_error(TIFF*, void* handle, const char*, const char* format, va_list arguments) {
  std::string& problem = static_cast<TiffSource*>(handle)->problem;
  char text[256];
  std::vsnprintf(text, sizeof(text), format, arguments);
  if (problem.empty()) problem = text + std::strspn(text, ": ");  // the prefix is the file's name
  return 1;
}

int tiff_warning(TIFF*, void*, const char*, const char*, va_list) {
  return 1;
}

struct TiffClose {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
  void operator()(TIFFOpenOptions* options) const { TIFFOpenOptionsFree(options); }
  void operator()(TIFFRGBAImage* image) const { TIFFRGBAImageEnd(image); }
};

std::unique_ptr<TIFF, TiffClose> open_tiff(TiffSource& source) {
  const std::unique_ptr<TIFFOpenOptions, TiffClose> options(TIFFOpenOptionsAlloc());
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), tiff_error, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), tiff_warning, nullptr);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{1} << 30);
  // m: do not map the file; it is in memory
  return std::unique_ptr<TIFF, TiffClose>(TIFFClientOpenExt("", "rm", &source, tiff_read, tiff_write,
                                                            tiff_seek, tiff_close, tiff_size, nullptr,
                                                            nullptr, options.get()));
}

bool is_grey(TIFF* tiff) {
  std::uint16_t photometric = PHOTOMETRIC_RGB;
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
  return photometric == PHOTOMETRIC_MINISBLACK || photometric == PHOTOMETRIC_MINISWHITE;
}

/// libtiff multiplies colours by alpha if the file stores them unmultiplied. fer drops alpha, as for PNG and
/// WebP, so libtiff is told that there is nothing to multiply.
void keep_colours(TIFF* tiff) {
  std::uint16_t count = 0;
  std::uint16_t* kinds = nullptr;
  if (!TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds)) return;
  std::vector<std::uint16_t> changed(kinds, kinds + count);
  std::replace(changed.begin(), changed.end(), std::uint16_t{EXTRASAMPLE_UNASSALPHA},
               std::uint16_t{EXTRASAMPLE_ASSOCALPHA});
  TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, count, changed.data());
}

}  // namespace

Image decode_tiff(ImageBytes bytes, ImageMarkers& markers, const std::string& name) {
  TiffSource source{bytes};
  const auto damaged = [&] {
    throw FormatError(concat("'", name, "' is a damaged TIFF: ",
                             source.problem.empty() ? "its data are invalid" : source.problem));
  };
  const std::unique_ptr<TIFF, TiffClose> tiff = open_tiff(source);
  if (!tiff) damaged();
  std::uint32_t width = 0, height = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height);
  require_plausible_size(width, height, bytes.size(), name);
  keep_colours(tiff.get());
  char reason[1024] = "";
  TIFFRGBAImage reader;
  require<FormatError>(
      TIFFRGBAImageOK(tiff.get(), reason) && TIFFRGBAImageBegin(&reader, tiff.get(), 1, reason), "'", name,
      "' is a TIFF that libtiff cannot convert: ", reason);
  const std::unique_ptr<TIFFRGBAImage, TiffClose> end(&reader);
  // as stored; the orientation is applied later, as for other formats
  markers.orientation = reader.orientation >= 1 && reader.orientation <= 8 ? reader.orientation : 1;
  reader.req_orientation = reader.orientation;
  std::vector<std::uint32_t> raster(std::size_t{width} * height);
  if (!TIFFRGBAImageGet(&reader, raster.data(), width, height) || !source.problem.empty()) damaged();
  Image image(static_cast<int>(height), static_cast<int>(width), is_grey(tiff.get()) ? 1 : 3);
  std::uint8_t* to = image.pixels.data();
  for (const std::uint32_t pixel : raster) {
    *to++ = static_cast<std::uint8_t>(TIFFGetR(pixel));
    if (image.channels == 1) continue;
    *to++ = static_cast<std::uint8_t>(TIFFGetG(pixel));
    *to++ = static_cast<std::uint8_t>(TIFFGetB(pixel));
  }
  markers.width = width;
  markers.height = height;
  markers.more = !TIFFLastDirectory(tiff.get());
  return image;
}

std::string tiff_library() {
  const std::string version = TIFFGetVersion();  // "LIBTIFF, Version 4.5.0\n..."
  const std::size_t at = version.find_first_of("0123456789");
  return "libtiff " + version.substr(at, version.find('\n') - at);
}

}  // namespace fer::detail
