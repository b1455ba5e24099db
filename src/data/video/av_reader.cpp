// Frames of a video file or a camera: demultiplexed, decoded, converted to RGB and turned upright.
#include <cmath>

#include "data/video/av.h"
#include "data/video/module.h"
#include "fer/error.h"

extern "C" {
#include <libavdevice/avdevice.h>
}

namespace fer::detail {
namespace {

/// Clockwise quarter turns that bring a stream's pictures upright; phones store how they were held.
int quarter_turns(const AVStream& stream) {
#if LIBAVFORMAT_VERSION_MAJOR >= 61
  const AVPacketSideData* found = av_packet_side_data_get(
      stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  const std::uint8_t* matrix = found ? found->data : nullptr;
#else
  const std::uint8_t* matrix = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
#endif
  if (!matrix) return 0;
  const double angle = -av_display_rotation_get(reinterpret_cast<const std::int32_t*>(matrix));
  if (std::isnan(angle)) return 0;
  return static_cast<int>(std::lround(angle / 90) % 4 + 4) % 4;
}

class AvReader : public VideoReader {
 public:
  AvReader(std::string name, const std::string& url, const AVInputFormat* device) : name_(std::move(name)) {
    av_log_set_level(AV_LOG_QUIET);  // the errors thrown here report problems instead
    AVFormatContext* opened = nullptr;
#if LIBAVFORMAT_VERSION_MAJOR >= 59
    const AVInputFormat* format = device;
#else
    auto* format = const_cast<AVInputFormat*>(device);
#endif
    const int error = avformat_open_input(&opened, url.c_str(), format, nullptr);
    require<IoError>(error != AVERROR(ENOENT) && error != AVERROR(EACCES) && error != AVERROR(EISDIR),
                     "cannot open '", name_, "': ", av_text(error));
    require<FormatError>(error >= 0, "'", name_, "' is not a video that libav can read: ", av_text(error));
    input_.reset(opened);
    const int looked = avformat_find_stream_info(input_.get(), nullptr);
    require<FormatError>(looked >= 0, "'", name_, "' is a damaged video: ", av_text(looked));
    open_decoder();
  }

  bool next(VideoFrame& frame) override {
    if (!receive()) return false;
    const std::int64_t time = decoded_->best_effort_timestamp;
    if (first_time_ == AV_NOPTS_VALUE) first_time_ = time;
    frame.image = rgb();
    if (turns_ > 0) frame.image = turn_clockwise(frame.image, turns_);
    frame.index = count_++;
    frame.seconds = time == AV_NOPTS_VALUE
                        ? static_cast<double>(frame.index) / frame_rate()
                        : static_cast<double>(time - first_time_) * av_q2d(stream_->time_base);
    return true;
  }

  double frame_rate() const override {
    const AVRational rate = av_guess_frame_rate(input_.get(), stream_, nullptr);
    constexpr double usual = 25;
    return rate.num > 0 && rate.den > 0 ? av_q2d(rate) : usual;
  }

 private:
  void open_decoder() {
    const int index = av_find_best_stream(input_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
    require<FormatError>(index >= 0, "'", name_, "' holds no pictures");
    stream_ = input_->streams[index];
    turns_ = quarter_turns(*stream_);
    const AVCodecID id = stream_->codecpar->codec_id;
    const AVCodec* codec = avcodec_find_decoder(id);
    require<FormatError>(codec != nullptr, "'", name_, "': libav cannot decode ", avcodec_get_name(id));
    decoder_.reset(avcodec_alloc_context3(codec));
    avcodec_parameters_to_context(decoder_.get(), stream_->codecpar);
    decoder_->thread_count = 0;  // one per core
    const int error = avcodec_open2(decoder_.get(), codec, nullptr);
    require<FormatError>(error >= 0, "'", name_, "': cannot decode ", avcodec_get_name(id), ": ",
                         av_text(error));
  }

  /// Decodes the next picture into decoded_; false at the end.
  bool receive() {
    while (true) {
      const int got = avcodec_receive_frame(decoder_.get(), decoded_.get());
      if (got == 0) return true;
      if (got == AVERROR_EOF) return false;
      require<FormatError>(got == AVERROR(EAGAIN), "'", name_, "' is damaged after frame ", count_, ": ",
                           av_text(got));
      const int read = av_read_frame(input_.get(), packet_.get());
      require<FormatError>(read >= 0 || read == AVERROR_EOF, "'", name_, "' is damaged after frame ", count_,
                           ": ", av_text(read));
      const bool ours = read >= 0 && packet_->stream_index == stream_->index;
      const int sent = read < 0 ? avcodec_send_packet(decoder_.get(), nullptr)
                       : ours   ? avcodec_send_packet(decoder_.get(), packet_.get())
                                : 0;
      av_packet_unref(packet_.get());
      require<FormatError>(sent >= 0, "'", name_, "' is damaged after frame ", count_, ": ", av_text(sent));
    }
  }

  Image rgb() {
    const int width = decoded_->width, height = decoded_->height;
    scaler_.reset(sws_getCachedContext(scaler_.release(), width, height,
                                       static_cast<AVPixelFormat>(decoded_->format), width, height,
                                       AV_PIX_FMT_RGB24, SWS_BILINEAR, nullptr, nullptr, nullptr));
    require<FormatError>(scaler_ != nullptr, "'", name_, "': its pixel format cannot be converted");
    Image image(height, width, 3);
    std::uint8_t* planes[] = {image.pixels.data(), nullptr, nullptr, nullptr};
    const int strides[] = {3 * width, 0, 0, 0};
    sws_scale(scaler_.get(), decoded_->data, decoded_->linesize, 0, height, planes, strides);
    return image;
  }

  std::string name_;
  std::unique_ptr<AVFormatContext, AvFree<avformat_close_input>> input_;
  AVStream* stream_ = nullptr;
  AvCodec decoder_;
  AvScaler scaler_;
  AvFrame decoded_{av_frame_alloc()};
  AvPacket packet_{av_packet_alloc()};
  int turns_ = 0;
  std::int64_t count_ = 0, first_time_ = AV_NOPTS_VALUE;
};

}  // namespace

std::unique_ptr<VideoReader> av_open_video(const std::filesystem::path& path) {
  return std::make_unique<AvReader>(path.string(), "file:" + path.string(), nullptr);
}

std::unique_ptr<VideoReader> av_open_camera(const std::string& name) {
  avdevice_register_all();
#if defined(__APPLE__)
  const char* system = "avfoundation";
#else
  const char* system = "v4l2";
#endif
  const AVInputFormat* device = av_find_input_format(system);
  require<DeviceError>(device != nullptr, "cameras: libav has no '", system, "' device here");
  const bool number = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  return std::make_unique<AvReader>("camera " + name, number ? "/dev/video" + name : name, device);
}

}  // namespace fer::detail
