// Streams of frames: video files, cameras, and videos that fer writes.
//
//   const auto video = fer::open_video("clip.mp4");
//   for (fer::VideoFrame frame; video->next(frame);) use(frame.image);
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "fer/data/image.h"

namespace fer {

struct VideoFrame {
  Image image;             ///< RGB, upright
  std::int64_t index = 0;  ///< in the stream, from 0
  double seconds = 0;      ///< when it is shown, from the start of the stream
};

class VideoReader {
 public:
  virtual ~VideoReader() = default;
  /// The next frame; false after the last. FormatError, naming the stream, if it is damaged there.
  virtual bool next(VideoFrame& frame) = 0;
  /// Average frames per second according to the stream; 25 if the stream does not say.
  virtual double frame_rate() const = 0;
};

class VideoWriter {
 public:
  virtual ~VideoWriter() = default;
  /// Appends an RGB frame, to be shown at `seconds` from the start, later than the previous frame. ShapeError
  /// unless all frames have the same size.
  virtual void write(const Image& frame, double seconds) = 0;
  /// Completes the file and gives it its name. A writer destroyed without finish() leaves no file.
  virtual void finish() = 0;
};

/// IoError or FormatError, naming the file, if it cannot be opened or holds no video.
std::unique_ptr<VideoReader> open_video(const std::filesystem::path& path);
/// A camera, by its system name ("/dev/video0") or its number.
std::unique_ptr<VideoReader> open_camera(const std::string& name);
/// A video in the format that its extension names: H.264 where the library can write it, else MPEG-4.
/// ConfigError for an unknown extension.
std::unique_ptr<VideoWriter> create_video(const std::filesystem::path& path, double frame_rate);

/// By its extension (.mp4, .mov, .mkv, .webm, .avi, ...).
bool is_video_name(const std::filesystem::path& path);

/// "libav 59.27"; empty if this build has no video, and `reason`, unless null, then says why. The functions
/// above throw a DeviceError with that reason.
std::string video_library_name(std::string* reason = nullptr);

}  // namespace fer
