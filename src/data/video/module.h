// What the module of videos offers to the program that loads it. libav brings some two hundred shared
// libraries, whose loading takes longer than a prediction: so they belong to a module that is loaded when a
// video is asked for.
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

/// The one symbol that is looked up.
extern "C" const fer::detail::VideoModule fer_video_module;
