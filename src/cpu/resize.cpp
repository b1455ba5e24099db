// Resizes a batch of 8-bit pictures with the arithmetic of tensor/resize_image.cpp.
#include "cpu/cpu_backend.h"
#include "tensor/resize_filter.h"
#include "tensor/resize_image.h"

namespace fer {

void CpuBackend::resize_images(const Tensor& images, Tensor& y) {
  detail::check_resize(images, y);
  const int height = static_cast<int>(images.dim(1)), width = static_cast<int>(images.dim(2)),
            channels = static_cast<int>(images.dim(3)), new_height = static_cast<int>(y.dim(1)),
            new_width = static_cast<int>(y.dim(2));
  const std::int64_t size = std::int64_t{height} * width * channels,
                     new_size = std::int64_t{new_height} * new_width * channels;
  const std::uint8_t* in = images.data<std::uint8_t>();
  std::uint8_t* out = y.mutable_data<std::uint8_t>();
  const std::int64_t n = images.dim(0);
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < n; ++i) {
    detail::resize_image(in + i * size, height, width, channels, out + i * new_size, new_height, new_width);
  }
}

}  // namespace fer
