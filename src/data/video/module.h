// The interface of the video module. libav loads about two hundred shared libraries, which takes longer than
// a prediction, so it is in a module that is loaded when a video is opened.
#pragma once

#include "fer/data/video.h"

namespace fer::detail {

struct VideoModule {
  std::unique_ptr<VideoReader> (*open_video)(const std::filesystem::path&);
  std::unique_ptr<VideoReader> (*open_camera)(const std::string&);
  std::unique_ptr<VideoWriter> (*create_video)(const std::filesystem::path&, double);
};

std::unique_ptr<VideoReader> av_open_video(const std::filesystem::path& path);
std::unique_ptr<VideoReader> av_open_camera(const std::string& name);
std::unique_ptr<VideoWriter> av_create_video(const std::filesystem::path& path, double frame_rate);

}  // namespace fer::detail

/// The only symbol that the program looks up.
extern "C" const fer::detail::VideoModule fer_video_module;
