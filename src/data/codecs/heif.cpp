// HEIC and AVIF through libheif, which turns and mirrors a picture as its file requires.
#include <libheif/heif.h>

#include <cstring>
#include <memory>
#include <new>

#include "data/codecs/heif_module.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

struct HeifRelease {
  void operator()(heif_context* context) const { heif_context_free(context); }
  void operator()(heif_image_handle* handle) const { heif_image_handle_release(handle); }
  void operator()(heif_image* image) const { heif_image_release(image); }
};

}  // namespace

Image heif_module_decode(ImageBytes bytes, ImageMarkers& markers, const std::string& name) {
  const std::string_view format = name_of(markers.format);
  const auto check = [&](const heif_error& error) {
    if (error.code == heif_error_Ok) return;
    if (error.code == heif_error_Memory_allocation_error) throw std::bad_alloc();
    const bool unsupported = error.code == heif_error_Unsupported_feature ||
                             error.code == heif_error_Unsupported_filetype ||
                             error.code == heif_error_Plugin_loading_error;
    throw FormatError(concat("'", name, "' is a ", unsupported ? "" : "damaged ", format,
                             unsupported ? " that libheif cannot decode here: " : ": ", error.message));
  };
  const std::unique_ptr<heif_context, HeifRelease> context(heif_context_alloc());
  check(heif_context_read_from_memory_without_copy(context.get(), bytes.data(), bytes.size(), nullptr));
  heif_image_handle* primary = nullptr;
  check(heif_context_get_primary_image_handle(context.get(), &primary));
  const std::unique_ptr<heif_image_handle, HeifRelease> handle(primary);
  markers.width = heif_image_handle_get_width(primary);
  markers.height = heif_image_handle_get_height(primary);
  require_plausible_size(markers.width, markers.height, bytes.size(), name);
  heif_image* decoded = nullptr;
  check(heif_decode_image(primary, &decoded, heif_colorspace_RGB, heif_chroma_interleaved_RGB, nullptr));
  const std::unique_ptr<heif_image, HeifRelease> pixels(decoded);
  int stride = 0;
  const std::uint8_t* rows = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
  require<FormatError>(rows != nullptr, "'", name, "' is a damaged ", format, ": it has no pixels");
  Image image(heif_image_get_primary_height(decoded), heif_image_get_primary_width(decoded), 3);
  for (int y = 0; y < image.height; ++y)
    std::memcpy(image.row(y), rows + std::size_t(y) * static_cast<std::size_t>(stride),
                std::size_t(image.width) * 3);
  markers.more = heif_context_get_number_of_top_level_images(context.get()) > 1;
  return image;
}

}  // namespace fer::detail

extern "C" const fer::detail::HeifModule fer_heif_module{fer::detail::heif_module_decode};
