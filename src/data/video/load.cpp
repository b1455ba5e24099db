// Loads the video module on first use.
#include "data/video/module.h"
#include "tensor/module_loader.h"

namespace fer {
namespace {

const detail::VideoModule& video_module() {
  static const auto& loaded = *static_cast<const detail::VideoModule*>(
      detail::load_module("videos", "fer_video", "fer_video_module"));
  return loaded;
}

}  // namespace

std::unique_ptr<VideoReader> open_video(const std::filesystem::path& path) {
  return video_module().open_video(path);
}
std::unique_ptr<VideoReader> open_camera(const std::string& name) {
  return video_module().open_camera(name);
}
std::unique_ptr<VideoWriter> create_video(const std::filesystem::path& path, double frame_rate) {
  return video_module().create_video(path, frame_rate);
}

std::string video_library_name(std::string*) {
  return "libav, loaded when it is used";
}

}  // namespace fer
