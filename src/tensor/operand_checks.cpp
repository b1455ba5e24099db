#include "tensor/operand_checks.h"

#include "fer/error.h"

namespace fer {

void check_matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& y) {
  const auto fail = [&](const char* what) {
    throw ShapeError(concat("[matmul] ", what, ": a ", a.shape(), transpose_a ? " transposed" : "", ", b ",
                            b.shape(), transpose_b ? " transposed" : "", ", y ", y.shape()));
  };
  if (a.rank() < 2 || b.rank() != a.rank() || y.rank() != a.rank()) fail("needs matrices of one rank");
  for (int i = 0; i < a.rank() - 2; ++i)
    if (a.dim(i) != b.dim(i) || a.dim(i) != y.dim(i)) fail("leading dimensions differ");
  const bool inner = a.shape()[transpose_a ? -2 : -1] == b.shape()[transpose_b ? -1 : -2];
  const bool outer =
      a.shape()[transpose_a ? -1 : -2] == y.shape()[-2] && b.shape()[transpose_b ? -2 : -1] == y.shape()[-1];
  if (!inner || !outer) fail("shapes do not multiply");
}

void check_linear(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& y) {
  require<ShapeError>(weight.rank() == 2 && x.shape().channels() == weight.dim(1) &&
                          y.shape().channels() == weight.dim(0) && x.shape().rows() == y.shape().rows(),
                      "[", op, "] input ", x.shape(), ", weight ", weight.shape(), " and output ", y.shape(),
                      " do not fit");
}

void check_permutation(const Tensor& x, std::span<const int> order, const Tensor& y) {
  bool ok = static_cast<int>(order.size()) == x.rank() && y.rank() == x.rank() && y.dtype() == x.dtype();
  for (int i = 0, seen = 0; ok && i < x.rank(); ++i) {
    ok = order[i] >= 0 && order[i] < x.rank() && !(seen >> order[i] & 1) && y.dim(i) == x.dim(order[i]);
    seen |= 1 << order[i];
  }
  require<ShapeError>(ok, "[permute] ", y.dtype(), " ", y.shape(), " is not such a permutation of ",
                      x.dtype(), " ", x.shape());
}

void check_part(std::string_view op, const Tensor& part, const Tensor& whole, int dim, std::int64_t start) {
  bool ok = part.dtype() == whole.dtype() && part.rank() == whole.rank() && dim >= 0 && dim < whole.rank();
  for (int i = 0; ok && i < whole.rank(); ++i) {
    ok = i == dim ? start >= 0 && start + part.dim(i) <= whole.dim(i) : part.dim(i) == whole.dim(i);
  }
  require<ShapeError>(ok, "[", op, "] ", part.dtype(), " ", part.shape(), " is not a part of ", whole.dtype(),
                      " ", whole.shape(), " along dimension ", dim, " from ", start);
}

void check_max_pool2d(const Tensor& x, const Pool2dOptions& options, const Tensor& y, const Tensor& argmax) {
  const auto& [kernel, stride, padding] = options;
  const bool valid = kernel > 0 && stride > 0 && padding >= 0 && padding <= kernel / 2;
  bool fits = valid && x.rank() == 4 && y.rank() == 4 && x.dim(0) == y.dim(0) && x.dim(3) == y.dim(3) &&
              argmax.shape() == y.shape();
  for (int d = 1; fits && d <= 2; ++d) {
    fits = x.dim(d) > 0 && (y.dim(d) - 1) * stride + kernel <= x.dim(d) + 2 * padding;
  }
  require<ShapeError>(fits, "[max_pool2d] shapes ", x.shape(), " -> ", y.shape(), ", argmax ", argmax.shape(),
                      " with kernel ", kernel, ", stride ", stride, ", padding ", padding, " do not fit");
}

void check_attention_bias(const AttentionBias& bias, const Shape& scores, const Tensor& q) {
  const auto check = [&](std::string_view name, const Tensor& x, DType dtype) {
    if (!x.defined()) return;
    require<TypeError>(x.dtype() == dtype, "[attention] ", name, " is ", x.dtype(), ", needs ", dtype);
    require<TypeError>(x.device() == q.device(), "[attention] q is on ", q.device(), ", but ", name,
                       " is on ", x.device());
    bool fits = x.rank() <= scores.rank();
    for (int i = 1; fits && i <= x.rank(); ++i) fits = x.shape()[-i] == 1 || x.shape()[-i] == scores[-i];
    require<ShapeError>(fits, "[attention] ", name, " of shape ", x.shape(),
                        " does not broadcast to the scores, N x heads x Tq x Tk ", scores,
                        "; a mask of keys is N x 1 x 1 x Tk");
  };
  check("bias", bias.bias, widened(q.dtype()));
  check("mask", bias.mask, DType::uint8);
}

void check_preprocess_images(const Tensor& images, std::span<const ImageTransform> transforms,
                             const float std[3], const Tensor& y) {
  require<ShapeError>(images.rank() == 4 && (images.dim(3) == 1 || images.dim(3) == 3),
                      "[preprocess_images] needs images N x H x W x 1 or 3, got ", images.shape());
  const Shape wanted{images.dim(0), images.dim(1), images.dim(2), 3};
  require<ShapeError>(y.shape() == wanted, "[preprocess_images] images ", images.shape(), " become ", wanted,
                      ", not ", y.shape());
  require<ShapeError>(static_cast<std::int64_t>(transforms.size()) == images.dim(0), "[preprocess_images] ",
                      images.dim(0), " images have ", transforms.size(), " transforms");
  for (std::size_t i = 0; i < transforms.size(); ++i) {
    const ImageTransform& t = transforms[i];
    const bool inside = t.erase_top >= 0 && t.erase_left >= 0 && t.erase_height >= 0 && t.erase_width >= 0 &&
                        t.erase_top <= images.dim(1) - t.erase_height &&
                        t.erase_left <= images.dim(2) - t.erase_width;
    require<ShapeError>(inside, "[preprocess_images] image ", i, " of ", images.dim(1), " x ", images.dim(2),
                        " pixels does not contain the ", t.erase_height, " x ", t.erase_width,
                        " pixels to erase at row ", t.erase_top, ", column ", t.erase_left);
  }
  require<ConfigError>(std[0] > 0 && std[1] > 0 && std[2] > 0,
                       "[preprocess_images] deviations must be positive, got ", std[0], ", ", std[1], ", ",
                       std[2]);
}

}  // namespace fer
