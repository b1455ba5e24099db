// Stand-in for videos and cameras in a build without libav.
#include "fer/data/video.h"
#include "fer/error.h"

namespace fer {
namespace {

constexpr const char* no_video =
    "this build reads no videos, because libav was not found or FER_VIDEO was OFF; install libavdevice-dev, "
    "libavformat-dev, libavcodec-dev and libswscale-dev and configure with -DFER_VIDEO=ON";

}  // namespace

std::unique_ptr<VideoReader> open_video(const std::filesystem::path&) {
  throw DeviceError(no_video);
}
std::unique_ptr<VideoReader> open_camera(const std::string&) {
  throw DeviceError(no_video);
}
std::unique_ptr<VideoWriter> create_video(const std::filesystem::path&, double) {
  throw DeviceError(no_video);
}

std::string video_library_name(std::string* reason) {
  if (reason) *reason = no_video;
  return "";
}

}  // namespace fer
