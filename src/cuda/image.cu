// Converts bytes to a normalised batch: flip, (pixel / 255 - mean) / std, erase. Grey images are repeated to
// three channels.
//
// A block handles one row of one image, and a thread every 128th of its 3 x width values. Neighbouring
// threads write neighbouring values and read neighbouring bytes (a flipped image has its pixels in reverse).
// The transforms are passed as kernel arguments, as many as fit in a launch, so nothing is copied or waited
// for. Floor: the bytes, 15 per pixel of three channels in float; two divisions per value.
#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "tensor/operand_checks.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

constexpr int threads = 128;
constexpr int images_per_launch = 180;  // their transforms fit in 4 KB of arguments

struct Transforms {
  ImageTransform of[images_per_launch];
};
template <typename T>
struct Normalisation {
  T mean[3], std[3];
};

template <typename T>
__global__ void preprocess_kernel(const std::uint8_t* images, const Transforms transforms,
                                  const Normalisation<T> normalisation, int height, int width, int channels,
                                  T* y) {
  const int image = static_cast<int>(blockIdx.x) / height, row = static_cast<int>(blockIdx.x) % height;
  const ImageTransform& t = transforms.of[image];
  const std::uint8_t* pixels = images + static_cast<index_t>(blockIdx.x) * width * channels;
  T* out = y + static_cast<index_t>(blockIdx.x) * width * 3;
  const bool row_erased = row >= t.erase_top && row < t.erase_top + t.erase_height;
  for (int i = static_cast<int>(threadIdx.x); i < width * 3; i += threads) {
    const int column = i / 3, c = i - 3 * column;
    const bool erased = row_erased && column >= t.erase_left && column < t.erase_left + t.erase_width;
    const int source = (t.flip != 0 ? width - 1 - column : column) * channels + (channels == 3 ? c : 0);
    const T mean = c == 0 ? normalisation.mean[0] : c == 1 ? normalisation.mean[1] : normalisation.mean[2];
    const T std = c == 0 ? normalisation.std[0] : c == 1 ? normalisation.std[1] : normalisation.std[2];
    out[i] = erased ? T(0) : (static_cast<T>(pixels[source]) / T(255) - mean) / std;
  }
}

}  // namespace

void DeviceBackend::preprocess_images(const Tensor& images, std::span<const ImageTransform> transforms,
                                      const float mean[3], const float std[3], Tensor& y) {
  check_preprocess_images(images, transforms, std, y);
  if (y.numel() == 0) return;
  dispatch_floating(y.dtype(), "preprocess_images", [&]<typename T>() {
    Normalisation<T> normalisation;
    for (int c = 0; c < 3; ++c) {
      normalisation.mean[c] = static_cast<T>(mean[c]);
      normalisation.std[c] = static_cast<T>(std[c]);
    }
    const index_t height = images.dim(1), width = images.dim(2), channels = images.dim(3);
    const std::uint8_t* in = images.data<std::uint8_t>();
    T* out = y.mutable_data<T>();
    for (index_t first = 0; first < images.dim(0); first += images_per_launch) {
      const index_t count = std::min<index_t>(images_per_launch, images.dim(0) - first);
      Transforms some{};
      std::copy_n(transforms.begin() + first, count, some.of);
      gpu::launch(preprocess_kernel<T>, static_cast<unsigned>(count * height), threads, 0, stream_,
                  in + first * height * width * channels, some, normalisation, static_cast<int>(height),
                  static_cast<int>(width), static_cast<int>(channels), out + first * height * width * 3);
    }
  });
}

}  // namespace fer::FER_DEVICE_NAMESPACE
