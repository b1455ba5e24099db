// Resizing of one 8-bit picture, for the backend and for the pictures of files (src/data/image.cpp).
#pragma once

#include <cstdint>

namespace fer::detail {

/// x: height x width x channels bytes, y: new_height x new_width x channels, all positive.
void resize_image(const std::uint8_t* x, int height, int width, int channels, std::uint8_t* y, int new_height,
                  int new_width);

}  // namespace fer::detail
