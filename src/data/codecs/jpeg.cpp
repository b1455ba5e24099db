// JPEG through libjpeg-turbo: the same pixels as Pillow, and so torchvision, reads from a file.
#include <csetjmp>
#include <cstdio>
#include <new>
//
#include <jerror.h>
#include <jpeglib.h>

#include "data/image_decoders.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

/// libjpeg reports an error by a call that must not return. The message is kept and thrown as an exception
/// after leaving libjpeg's frames.
struct JpegErrors {
  jpeg_error_mgr manager;  // libjpeg's part; the callbacks cast from it
  std::jmp_buf jump;
  bool cut;
  char text[JMSG_LENGTH_MAX];
};

JpegErrors& jpeg_errors(j_common_ptr info) {
  return *reinterpret_cast<JpegErrors*>(info->err);
}

[[noreturn]] void jpeg_fail(j_common_ptr info) {
  JpegErrors& errors = jpeg_errors(info);
  errors.cut = errors.manager.msg_code == JWRN_HIT_MARKER || errors.manager.msg_code == JWRN_JPEG_EOF;
  errors.manager.format_message(info, errors.text);
  std::longjmp(errors.jump, 1);
}

/// Warnings after which libjpeg invents pixels are errors here; warnings that cost no pixel are not.
void jpeg_warn(j_common_ptr info, int level) {
  if (level >= 0) return;  // a trace
  switch (info->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_TOO_MUCH_DATA:
      return;
    default:
      jpeg_fail(info);
  }
}

void jpeg_stay_quiet(j_common_ptr) {}

struct JpegReader {
  jpeg_decompress_struct info{};
  JpegErrors errors{};

  JpegReader() {
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = jpeg_fail;
    errors.manager.emit_message = jpeg_warn;
    errors.manager.output_message = jpeg_stay_quiet;
    jpeg_create_decompress(&info);
  }
  ~JpegReader() { jpeg_destroy_decompress(&info); }

  /// Calls libjpeg; false if it failed. `step` must not hold an object with a destructor.
  template <typename Step>
  bool attempt(Step step) {
    if (setjmp(errors.jump) != 0) return false;
    step();
    return true;
  }
};

/// For Adobe files, whose samples are inverted: they give the share of each ink that is absent.
void cmyk_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, int width) {
  for (int x = 0; x < width; ++x, cmyk += 4) {
    for (int c = 0; c < 3; ++c) *rgb++ = static_cast<std::uint8_t>((cmyk[c] * cmyk[3] + 127) / 255);
  }
}

}  // namespace

Image decode_jpeg(ImageBytes bytes, const ImageMarkers& markers, const std::string& name) {
  JpegReader reader;
  const auto check = [&](bool succeeded) {
    if (succeeded) return;
    if (reader.errors.manager.msg_code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
    if (reader.errors.cut) throw_truncated(name, "JPEG", "its data ends before the picture does");
    throw FormatError(concat("'", name, "' is a damaged JPEG: ", reader.errors.text));
  };
  jpeg_decompress_struct& info = reader.info;
  check(reader.attempt([&] {
    jpeg_mem_src(&info, bytes.data(), static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(&info, TRUE);
    info.out_color_space = markers.components == 1   ? JCS_GRAYSCALE
                           : markers.components == 4 ? JCS_CMYK
                                                     : JCS_RGB;
    jpeg_start_decompress(&info);
  }));
  const int width = static_cast<int>(info.output_width), height = static_cast<int>(info.output_height);
  Image image(height, width, markers.components == 1 ? 1 : 3);
  std::vector<std::uint8_t> inks(markers.components == 4 ? std::size_t(width) * 4 : 0);
  check(reader.attempt([&] {
    for (int y = 0; y < height; ++y) {
      std::uint8_t* row = inks.empty() ? image.row(y) : inks.data();
      jpeg_read_scanlines(&info, &row, 1);
      if (!inks.empty()) cmyk_to_rgb(inks.data(), image.row(y), width);
    }
    jpeg_finish_decompress(&info);
  }));
  return image;
}

std::string jpeg_library() {
#ifdef LIBJPEG_TURBO_VERSION_NUMBER
  constexpr int version = LIBJPEG_TURBO_VERSION_NUMBER;  // 2001005 is 2.1.5
  return concat("libjpeg-turbo ", version / 1000000, ".", version / 1000 % 1000, ".", version % 1000);
#else
  return concat("libjpeg ", JPEG_LIB_VERSION / 10);
#endif
}

}  // namespace fer::detail
