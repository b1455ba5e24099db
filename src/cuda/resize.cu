// Bilinear resize of uint8 images, antialiased when shrinking, byte-identical to Pillow and the CPU:
// fixed-point weights (tensor/resize_filter.h), a pass along the rows and one along the columns, 8-bit values
// between them. A dimension that keeps its extent has no pass.
//
// A thread computes one byte, and neighbouring threads write neighbouring bytes of an output row. In the pass
// along the columns, a warp reads contiguous bytes of each input row. In the pass along the rows, neighbours
// read overlapping or adjacent windows from the first-level cache. All images read the filter, 4 (width + 2)
// bytes per output position, through the cache. Both passes are one kernel: `pitch` is the distance between
// the inputs of a window.
// Floor: the bytes of both images and of the intermediate one; 2 max(1, shrink factor) multiply-adds per byte
// and pass.
#include <vector>

#include "cuda/device_backend.h"
#include "cuda/op_support.h"
#include "tensor/resize_filter.h"

namespace fer::FER_DEVICE_NAMESPACE {
namespace {

using fer::detail::ResizeFilter;

/// A filter in device memory: first[outputs], count[outputs], weights[outputs x width].
struct Filter {
  const std::int32_t* data;
  int outputs, width;
};

/// x: outer x inputs x inner -> y: outer x outputs x inner, n bytes; one byte per thread.
__global__ void resize_kernel(const std::uint8_t* x, const Filter filter, int inputs, int inner,
                              std::uint8_t* y, index_t n) {
  for (index_t i = first_item(); i < n; i += item_step()) {
    const index_t line = i / inner, outer = line / filter.outputs;
    const int at = static_cast<int>(i - line * inner), o = static_cast<int>(line - outer * filter.outputs);
    const int first = filter.data[o], count = filter.data[filter.outputs + o];
    const std::int32_t* weights = filter.data + 2 * filter.outputs + index_t{o} * filter.width;
    const std::uint8_t* from = x + (outer * inputs + first) * inner + at;
    std::int32_t sum = ResizeFilter::half;
    for (int k = 0; k < count; ++k) sum += weights[k] * from[index_t{k} * inner];
    sum >>= ResizeFilter::bits;
    y[i] = static_cast<std::uint8_t>(sum < 0 ? 0 : sum > 255 ? 255 : sum);
  }
}

std::vector<std::int32_t> packed(const ResizeFilter& filter) {
  std::vector<std::int32_t> all = filter.first;
  all.insert(all.end(), filter.count.begin(), filter.count.end());
  all.insert(all.end(), filter.weights.begin(), filter.weights.end());
  return all;
}

void pass(Backend& owner, gpu::Stream stream, const std::uint8_t* x, index_t outer, index_t inputs,
          index_t outputs, index_t inner, std::uint8_t* y) {
  const ResizeFilter filter = fer::detail::resize_filter(static_cast<int>(inputs), static_cast<int>(outputs));
  const std::vector<std::int32_t> words = packed(filter);
  const DeviceArray<std::int32_t> table(owner, static_cast<index_t>(words.size()));
  owner.copy_from_host(table.data(), words.data(), words.size() * sizeof(std::int32_t));
  const index_t n = outer * outputs * inner;
  gpu::launch(resize_kernel, blocks_for(n, 256), 256, 0, stream, x,
              Filter{table.data(), static_cast<int>(outputs), filter.width}, static_cast<int>(inputs),
              static_cast<int>(inner), y, n);
}

}  // namespace

void DeviceBackend::resize_images(const Tensor& images, Tensor& y) {
  fer::detail::check_resize(images, y);
  if (y.numel() == 0) return;
  const index_t n = images.dim(0), height = images.dim(1), width = images.dim(2), channels = images.dim(3);
  const index_t new_height = y.dim(1), new_width = y.dim(2);
  if (height == new_height && width == new_width) return copy(images, y);
  const std::uint8_t* in = images.data<std::uint8_t>();
  std::uint8_t* out = y.mutable_data<std::uint8_t>();
  if (height == new_height) return pass(*this, stream_, in, n * height, width, new_width, channels, out);
  const index_t row = new_width * channels;
  if (width == new_width) return pass(*this, stream_, in, n, height, new_height, row, out);
  const DeviceArray<std::uint8_t> wide(*this, n * height * row);
  pass(*this, stream_, in, n * height, width, new_width, channels, wide.data());
  pass(*this, stream_, wide.data(), n, height, new_height, row, out);
}

}  // namespace fer::FER_DEVICE_NAMESPACE
