// libav's objects, freed at the end of their scope, and its error numbers as text.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
}

#include <memory>
#include <string>

namespace fer::detail {

template <auto free_function>
struct AvFree {
  template <typename T>
  void operator()(T* object) const {
    free_function(&object);
  }
};
using AvFrame = std::unique_ptr<AVFrame, AvFree<av_frame_free>>;
using AvPacket = std::unique_ptr<AVPacket, AvFree<av_packet_free>>;
using AvCodec = std::unique_ptr<AVCodecContext, AvFree<avcodec_free_context>>;
struct AvScalerFree {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
using AvScaler = std::unique_ptr<SwsContext, AvScalerFree>;

inline std::string av_text(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE]{};
  av_strerror(error, text, sizeof(text));
  return text;
}

}  // namespace fer::detail
