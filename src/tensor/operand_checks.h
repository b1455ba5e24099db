// Checks of an operation's tensors, shared by all devices, so that they reject the same input with the same
// message. They throw ShapeError.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "fer/tensor/backend.h"

namespace fer {

/// y = a b over matrices of equal rank whose leading dimensions agree.
void check_matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& y);

/// x: ... x in, weight: out x in, y: ... x out.
void check_linear(std::string_view op, const Tensor& x, const Tensor& weight, const Tensor& y);

/// y's dimension i is x's dimension order[i].
void check_permutation(const Tensor& x, std::span<const int> order, const Tensor& y);

/// `part` is a range of `whole` along `dim`, beginning at `start`.
void check_part(std::string_view op, const Tensor& part, const Tensor& whole, int dim, std::int64_t start);

/// Each window of y has at least one pixel of x: N x H x W x C.
void check_max_pool2d(const Tensor& x, const Pool2dOptions& options, const Tensor& y, const Tensor& argmax);

/// Bias and mask of attention broadcast to `scores`, N x heads x Tq x Tk. q: the queries, whose type decides
/// about the bias's.
void check_attention_bias(const AttentionBias& bias, const Shape& scores, const Tensor& q);

/// images: N x H x W x 1 or 3, with one transform each; erased rectangles lie inside. y: N x H x W x 3.
/// Throws ConfigError unless all deviations are positive.
void check_preprocess_images(const Tensor& images, std::span<const ImageTransform> transforms,
                             const float std[3], const Tensor& y);

}  // namespace fer
