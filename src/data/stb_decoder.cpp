// JPEG, PNG, GIF and BMP through stb, with checks that stb lacks: a bound on the inflated size of a PNG, and
// whether a JPEG or GIF has enough data for its picture.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "data/image_decoders.h"
#include "fer/error.h"

namespace {

/// stb inflates a PNG into a block of the picture's size, which grows as long as there is more data. The
/// other growing block collects the compressed data: it begins with stb_grow(nullptr) and ends with the file.
struct StbBlock {
  std::size_t may_grow_to;
  std::size_t padding;  // keeps the alignment of malloc
};

thread_local bool stb_png_interlaced = false;  // then stb's first estimate is slightly too small
thread_local bool stb_inflates_too_much = false;

void* stb_allocate(std::size_t size, std::size_t may_grow_to) {
  auto* block = static_cast<StbBlock*>(std::malloc(sizeof(StbBlock) + size));
  if (!block) return nullptr;
  block->may_grow_to = may_grow_to;
  return block + 1;
}

void* stb_malloc(std::size_t size) {
  return stb_allocate(size, stb_png_interlaced ? 2 * size : size);
}

void* stb_grow(void* data, std::size_t size) {
  if (!data) return stb_allocate(size, static_cast<std::size_t>(-1));
  auto* block = static_cast<StbBlock*>(data) - 1;
  stb_inflates_too_much = size > block->may_grow_to;
  if (stb_inflates_too_much) return nullptr;
  block = static_cast<StbBlock*>(std::realloc(block, sizeof(StbBlock) + size));
  return block ? block + 1 : nullptr;
}

void stb_free(void* data) {
  if (data) std::free(static_cast<StbBlock*>(data) - 1);
}

}  // namespace

#define STBI_MALLOC(size) stb_malloc(size)
#define STBI_REALLOC(data, size) stb_grow(data, size)
#define STBI_FREE(data) stb_free(data)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_GIF
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_FAILURE_USERMSG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb_image.h>
#pragma GCC diagnostic pop

namespace fer::detail {
namespace {

using StbPixels = std::unique_ptr<stbi_uc, void (*)(void*)>;

struct StbPicture {
  StbPixels pixels{nullptr, stbi_image_free};
  int width = 0, height = 0, channels = 0;
};

/// If a scan ends before its picture (a file that was cut and then closed with an end marker), stb continues
/// with zeros. It fills a buffer of 32 bits, so for a complete scan it reads at most four bytes beyond the
/// end. Four bytes are appended here; a decoder that reaches the marker behind them needed more data than
/// there was. A cut within the last few blocks may go unnoticed, if the zeros in place of the missing data
/// take less than two bytes.
StbPicture stb_jpeg(ImageBytes bytes, const ImageMarkers& markers, const std::string& name) {
  const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(markers.scan_end);
  std::vector<std::uint8_t> padded(bytes.begin(), end);
  padded.insert(padded.end(), 4, std::uint8_t{0});
  padded.insert(padded.end(), end, bytes.end());
  stbi__context context;
  stbi__start_mem(&context, padded.data(), static_cast<int>(padded.size()));
  const auto decoder = std::make_unique<stbi__jpeg>();
  decoder->s = &context;
  stbi__setup_jpeg(decoder.get());
  StbPicture picture;
  picture.channels = markers.components == 1 ? 1 : 3;
  picture.pixels.reset(
      load_jpeg_image(decoder.get(), &picture.width, &picture.height, nullptr, picture.channels));
  require<FormatError>(!picture.pixels || !decoder->nomore, "'", name,
                       "' is a truncated JPEG: its data ends before the picture does");
  return picture;
}

/// The first picture of a GIF. stb marks the pixels that the data covers.
StbPicture stb_gif(ImageBytes bytes, const ImageMarkers& markers, const std::string& name) {
  stbi__context context;
  stbi__start_mem(&context, bytes.data(), static_cast<int>(bytes.size()));
  const auto gif = std::make_unique<stbi__gif>();
  std::memset(gif.get(), 0, sizeof(stbi__gif));
  int components = 0;
  const stbi_uc* found = stbi__gif_load_next(&context, gif.get(), &components, 4, nullptr);
  StbPicture picture{{gif->out, stbi_image_free}, gif->w, gif->h, 3};
  const StbPixels history(gif->history, stbi_image_free), background(gif->background, stbi_image_free);
  if (!found || found == reinterpret_cast<stbi_uc*>(&context)) {
    picture.pixels.reset();
    return picture;
  }
  const auto drawn = std::count(history.get(), history.get() + std::size_t(gif->w) * gif->h, stbi_uc{1});
  if (drawn < markers.frame_pixels) throw_truncated(name, "GIF", "its data ends before the picture does");
  picture.pixels.reset(stbi__convert_format(picture.pixels.release(), 4, 3, gif->w, gif->h));
  return picture;
}

StbPicture stb_other(ImageBytes bytes) {
  StbPicture picture;
  const int size = static_cast<int>(bytes.size());
  if (!stbi_info_from_memory(bytes.data(), size, &picture.width, &picture.height, &picture.channels))
    return {};
  picture.channels = picture.channels <= 2 ? 1 : 3;
  picture.pixels.reset(
      stbi_load_from_memory(bytes.data(), size, &picture.width, &picture.height, nullptr, picture.channels));
  return picture;
}

}  // namespace

Image decode_with_stb(ImageBytes bytes, const ImageMarkers& markers, const std::string& name) {
  require<FormatError>(!markers.arithmetic, "'", name,
                       "' is a JPEG with arithmetic coding, which is decoded by libjpeg-turbo; this build "
                       "was configured without it (Debian: libjpeg-dev)");
  stb_png_interlaced = markers.interlaced;
  stb_inflates_too_much = false;
  const StbPicture picture = markers.format == ImageFormat::jpeg  ? stb_jpeg(bytes, markers, name)
                             : markers.format == ImageFormat::gif ? stb_gif(bytes, markers, name)
                                                                  : stb_other(bytes);
  if (!picture.pixels) {
    const std::string reason =
        stb_inflates_too_much ? "its data hold more than its picture" : stbi_failure_reason();
    if (reason == "Out of memory") throw std::bad_alloc();
    throw FormatError(concat("'", name, "' is a damaged ", name_of(markers.format), ": ", reason));
  }
  Image image(picture.height, picture.width, picture.channels);
  std::memcpy(image.pixels.data(), picture.pixels.get(), image.pixels.size());
  return image;
}

}  // namespace fer::detail
