#include "data/video/module.h"

extern "C" const fer::detail::VideoModule fer_video_module{
    fer::detail::av_open_video, fer::detail::av_open_camera, fer::detail::av_create_video};
