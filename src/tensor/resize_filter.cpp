#include "tensor/resize_filter.h"

#include <algorithm>
#include <cmath>

#include "fer/error.h"

namespace fer::detail {

ResizeFilter resize_filter(int input, int output) {
  const double scale = static_cast<double>(input) / output;
  const double support = std::max(scale, 1.0);
  const auto outputs = static_cast<std::size_t>(output);
  ResizeFilter filter;
  filter.width = static_cast<int>(std::ceil(support)) * 2 + 1;
  const auto width = static_cast<std::size_t>(filter.width);
  filter.first.resize(outputs);
  filter.count.resize(outputs);
  filter.weights.assign(outputs * width, 0);
  std::vector<double> w(width);
  for (std::size_t o = 0; o < outputs; ++o) {
    // NOLINTBEGIN(bugprone-incorrect-roundings): Pillow rounds by adding one half, and the results must be
    // equal.
    const double center = (static_cast<double>(o) + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int last = std::min(static_cast<int>(center + support + 0.5), input);
    double sum = 0;
    for (int i = first; i < last; ++i) {
      const double weight = std::max(1.0 - std::abs((i - center + 0.5) / support), 0.0);
      w[static_cast<std::size_t>(i - first)] = weight;
      sum += weight;
    }
    filter.first[o] = first;
    filter.count[o] = last - first;
    for (std::size_t i = 0; i < static_cast<std::size_t>(last - first); ++i) {
      filter.weights[o * width + i] = static_cast<std::int32_t>(w[i] / sum * (1 << ResizeFilter::bits) + 0.5);
    }
    // NOLINTEND(bugprone-incorrect-roundings)
  }
  return filter;
}

void check_resize(const Tensor& images, const Tensor& y) {
  require<ShapeError>(
      images.rank() == 4 && y.rank() == 4 && images.dim(0) == y.dim(0) && images.dim(3) == y.dim(3),
      "[resize_images] needs images N x H x W x C and y N x H' x W' x C, got ", images.shape(), " and ",
      y.shape());
  constexpr std::int64_t most = 1 << 28;  // keeps weights and offsets within an image in 32 bits
  for (const Tensor* t : {&images, &y}) {
    const std::int64_t pixels = t->dim(1) * t->dim(2);
    require<ShapeError>(t->dim(1) > 0 && t->dim(2) > 0 && pixels <= most,
                        "[resize_images] an image needs from 1 to 2^28 pixels, got ", t->shape());
  }
}

}  // namespace fer::detail
