// Writes frames into a video file: converts to YUV 4:2:0, encodes and multiplexes. The file is written beside
// the target until it is complete.
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "data/video/av.h"
#include "data/video/module.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

namespace fs = std::filesystem;

struct OutputClose {
  void operator()(AVFormatContext* output) const {
    if (output->pb) avio_closep(&output->pb);
    avformat_free_context(output);
  }
};

class AvWriter : public VideoWriter {
 public:
  AvWriter(const fs::path& path, double frame_rate)
      : path_(path),
        beside_(path.string() + ".tmp." + std::to_string(::getpid())),
        rate_(av_d2q(frame_rate, 100000)) {
    av_log_set_level(AV_LOG_QUIET);
    const AVOutputFormat* format = av_guess_format(nullptr, path.c_str(), nullptr);
    require<ConfigError>(format != nullptr && format->video_codec != AV_CODEC_ID_NONE && is_video_name(path),
                         "cannot write '", path.string(),
                         "': videos are written as .mp4, .mov, .mkv, .avi or another known extension");
    AVFormatContext* made = nullptr;
    avformat_alloc_output_context2(&made, format, nullptr, beside_.c_str());
    require<IoError>(made != nullptr, "cannot write '", path.string(), "': out of memory");
    output_.reset(made);
    const int error = avio_open(&output_->pb, ("file:" + beside_).c_str(), AVIO_FLAG_WRITE);
    require<IoError>(error >= 0, "cannot write '", path.string(), "': ", av_text(error));
    created_ = true;
  }

  ~AvWriter() override {
    output_.reset();
    std::error_code ignored;
    if (created_ && !finished_) fs::remove(beside_, ignored);
  }

  void write(const Image& frame, double seconds) override {
    require<ShapeError>(frame.channels == 3, "'", path_.string(), "': frames must be RGB");
    if (!encoder_) start(frame.width, frame.height);
    require<ShapeError>(frame.width == width_ && frame.height == height_, "'", path_.string(), "': frame ",
                        count_, " has ", frame.width, " x ", frame.height, " pixels, the first had ", width_,
                        " x ", height_);
    check(av_frame_make_writable(picture_.get()));
    const std::uint8_t* planes[] = {frame.pixels.data(), nullptr, nullptr, nullptr};
    const int strides[] = {3 * width_, 0, 0, 0};
    sws_scale(scaler_.get(), planes, strides, 0, height_, picture_->data, picture_->linesize);
    const auto time = static_cast<std::int64_t>(std::llround(seconds * av_q2d(rate_)));
    picture_->pts = last_time_ = std::max(time, last_time_ + 1);
    ++count_;
    encode(picture_.get());
  }

  void finish() override {
    require<ShapeError>(encoder_ != nullptr, "'", path_.string(), "': a video needs a frame");
    encode(nullptr);
    check(av_write_trailer(output_.get()));
    check(avio_closep(&output_->pb));
    std::error_code error;
    fs::rename(beside_, path_, error);
    require<IoError>(!error, "cannot write '", path_.string(), "': ", error.message());
    finished_ = true;
  }

 private:
  void check(int result) const {
    require<IoError>(result >= 0, "cannot write '", path_.string(), "': ", av_text(result));
  }

  const AVCodec* codec() const {
    for (const AVCodecID id : {AV_CODEC_ID_H264, AV_CODEC_ID_MPEG4, output_->oformat->video_codec}) {
      const AVCodec* found = avcodec_find_encoder(id);
      if (found && avformat_query_codec(output_->oformat, id, FF_COMPLIANCE_NORMAL) == 1) return found;
    }
    throw IoError(concat("cannot write '", path_.string(), "': libav has no encoder for this format"));
  }

  void start(int width, int height) {
    width_ = width;
    height_ = height;
    const AVCodec* chosen = codec();
    encoder_.reset(avcodec_alloc_context3(chosen));
    // 4:2:0 halves the resolution of colours, so extents must be even; at most one row and column are
    // stretched.
    encoder_->width = width + width % 2;
    encoder_->height = height + height % 2;
    encoder_->pix_fmt = AV_PIX_FMT_YUV420P;
    encoder_->framerate = rate_;
    encoder_->time_base = av_inv_q(rate_);
    encoder_->gop_size = 25;
    encoder_->thread_count = 0;
    if (chosen->id == AV_CODEC_ID_H264) {
      av_opt_set(encoder_->priv_data, "preset", "veryfast", 0);
      av_opt_set(encoder_->priv_data, "crf", "20", 0);
    } else {
      encoder_->flags |= AV_CODEC_FLAG_QSCALE;
      encoder_->global_quality = 4 * FF_QP2LAMBDA;
    }
    if (output_->oformat->flags & AVFMT_GLOBALHEADER) encoder_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    check(avcodec_open2(encoder_.get(), chosen, nullptr));
    stream_ = avformat_new_stream(output_.get(), nullptr);
    stream_->time_base = encoder_->time_base;
    stream_->avg_frame_rate = rate_;
    check(avcodec_parameters_from_context(stream_->codecpar, encoder_.get()));
    check(avformat_write_header(output_.get(), nullptr));
    picture_->format = encoder_->pix_fmt;
    picture_->width = encoder_->width;
    picture_->height = encoder_->height;
    check(av_frame_get_buffer(picture_.get(), 0));
    scaler_.reset(sws_getContext(width, height, AV_PIX_FMT_RGB24, encoder_->width, encoder_->height,
                                 AV_PIX_FMT_YUV420P, SWS_BILINEAR, nullptr, nullptr, nullptr));
    require<IoError>(scaler_ != nullptr, "cannot write '", path_.string(), "': out of memory");
  }

  void encode(const AVFrame* frame) {
    check(avcodec_send_frame(encoder_.get(), frame));
    while (true) {
      const int got = avcodec_receive_packet(encoder_.get(), packet_.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return;
      check(got);
      av_packet_rescale_ts(packet_.get(), encoder_->time_base, stream_->time_base);
      packet_->stream_index = stream_->index;
      check(av_interleaved_write_frame(output_.get(), packet_.get()));
    }
  }

  fs::path path_;
  std::string beside_;
  AVRational rate_;
  std::unique_ptr<AVFormatContext, OutputClose> output_;
  AvCodec encoder_;
  AvScaler scaler_;
  AvFrame picture_{av_frame_alloc()};
  AvPacket packet_{av_packet_alloc()};
  AVStream* stream_ = nullptr;
  int width_ = 0, height_ = 0;
  std::int64_t count_ = 0, last_time_ = -1;
  bool created_ = false, finished_ = false;
};

}  // namespace

std::unique_ptr<VideoWriter> av_create_video(const fs::path& path, double frame_rate) {
  return std::make_unique<AvWriter>(path, frame_rate);
}

}  // namespace fer::detail
