// The operations on Variables. Each checks its inputs, calls the backend of their device and records its
// node. Its file in src/autograd has the gradient, its page in docs/ops the derivation.
//
// All inputs of an operation have the same type, float32 or float64. On the devices simt and cuda it may also
// be bfloat16, except in losses and softmax; parameters (weights, biases, slopes), running statistics and
// their gradients are then float32.
//
// "rows x C" means any shape whose last extent is C. Wrong shapes throw ShapeError, wrong types TypeError;
// both name the op and what it got. Undefined variables stand for "none" where a comment says optional.
#pragma once

#include <cstdint>
#include <vector>

#include "fer/autograd/variable.h"
#include "fer/tensor/backend.h"

namespace fer {

// --- elementwise (elementwise.cpp) ---------------------------------------------------------------------
/// Broadcasting follows NumPy.
Variable add(const Variable& a, const Variable& b);
Variable sub(const Variable& a, const Variable& b);
Variable mul(const Variable& a, const Variable& b);
/// Division by zero follows IEEE 754.
Variable div(const Variable& a, const Variable& b);
Variable scale(const Variable& x, double alpha);
inline Variable operator+(const Variable& a, const Variable& b) {
  return add(a, b);
}
inline Variable operator-(const Variable& a, const Variable& b) {
  return sub(a, b);
}
inline Variable operator*(const Variable& a, const Variable& b) {
  return mul(a, b);
}
inline Variable operator/(const Variable& a, const Variable& b) {
  return div(a, b);
}
inline Variable operator*(double alpha, const Variable& x) {
  return scale(x, alpha);
}
/// x broadcast to `shape`.
Variable broadcast_to(const Variable& x, const Shape& shape);

// --- reductions (reduce.cpp) -----------------------------------------------------------------------------
/// Sum or mean of all elements, a scalar.
Variable sum(const Variable& x);
Variable mean(const Variable& x);
/// Sum over the dimensions that `shape` lacks or in which its extent is 1; the reverse of broadcast_to.
Variable sum_to(const Variable& x, const Shape& shape);

// --- activations (activation.cpp, prelu.cpp, softmax.cpp) --------------------------------------------------
Variable relu(const Variable& x);
/// x * Phi(x), Phi the normal distribution function (the exact form).
Variable gelu(const Variable& x);
Variable sigmoid(const Variable& x);
Variable exp(const Variable& x);
/// The natural logarithm: -infinity of 0, NaN of a negative number.
Variable log(const Variable& x);
Variable sqrt(const Variable& x);
/// Its gradient at 0 is 0.
Variable abs(const Variable& x);
/// x: rows x C, slope: C. y = x where x > 0, else slope[c] * x.
Variable prelu(const Variable& x, const Variable& slope);
/// Over the last dimension.
Variable softmax(const Variable& x);
Variable log_softmax(const Variable& x);

// --- layout (layout.cpp) ------------------------------------------------------------------------------
/// One extent may be -1. Shares memory with x.
Variable reshape(const Variable& x, const Shape& shape);
/// y's dimension i is x's dimension order[i].
Variable permute(const Variable& x, const std::vector<int>& order);
/// Swaps the last two dimensions.
Variable transpose(const Variable& x);
/// All inputs have the same extents except in dimension `dim`; negative dim counts from the end.
Variable concat(const std::vector<Variable>& parts, int dim);
/// Elements [start, start + length) of dimension `dim`.
Variable slice(const Variable& x, int dim, std::int64_t start, std::int64_t length);

// --- types (cast.cpp) ---------------------------------------------------------------------------------
/// x in another floating type; x itself if it already has that type.
Variable cast(const Variable& x, DType dtype);

// --- products (matmul.cpp, linear.cpp) --------------------------------------------------------------------
/// a: ... x M x K, b: ... x K x N, with equal leading dimensions.
Variable matmul(const Variable& a, const Variable& b);
/// x: rows x I, weight: O x I, bias: O (optional), residual: y's shape (optional).
/// y = x weight^T + bias + residual.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {},
                const Variable& residual = {});
/// gelu(linear(x, weight, bias)), in one pass over y if the device can.
Variable linear_gelu(const Variable& x, const Variable& weight, const Variable& bias = {});

// --- convolution (conv2d.cpp) --------------------------------------------------------------------------
/// x: N x H x W x I, weight: O x kh x kw x I/groups, bias: O (optional).
/// y: N x H' x W' x O, H' = (H + 2 padding - kh) / stride + 1. groups == I == O uses the depthwise kernels.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias,
                const Conv2dOptions& options);

// --- pooling (pool2d.cpp): x N x H x W x C -----------------------------------------------------------------
/// The maximum of each kernel x kernel window. `padding` rows and columns at each side, at most kernel / 2,
/// belong to windows but never win. y: N x H' x W' x C, H' = (H + 2 padding - kernel) / stride + 1.
Variable max_pool2d(const Variable& x, int kernel, int stride, int padding = 0);
/// y: N x C.
Variable global_avg_pool2d(const Variable& x);

// --- normalisation (batch_norm.cpp, layer_norm.cpp) -------------------------------------------------------
/// x: rows x C, weight, bias: C. Normalises by the batch statistics and updates running_mean and running_var
/// (C) in place. In the same passes over memory it applies slope (C, optional), as in prelu(), and last adds
/// residual (x's shape, optional). In a GlobalBatch the statistics are those of the whole batch.
Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias, Tensor& running_mean,
                    Tensor& running_var, double momentum, double eps, const Variable& slope = {},
                    const Variable& residual = {});
/// Normalises by the running statistics.
Variable batch_norm_eval(const Variable& x, const Variable& weight, const Variable& bias,
                         const Tensor& running_mean, const Tensor& running_var, double eps);
/// x: rows x C; each row is normalised.
Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double eps);

// --- attention (attention.cpp), Eq. 4 ---------------------------------------------------------------------
/// q: N x Tq x D, k and v: N x Tk x D; y: N x Tq x D. Each head has width D / heads; scores are divided by
/// sqrt(D / heads).
/// bias (optional) is added to the scaled scores. mask (optional, uint8, no gradient) is 0 where a query must
/// not attend to a key. Both broadcast to N x heads x Tq x Tk: for example heads x Tq x Tk for a relative
/// position bias, Tq x Tk for a causal mask, N x 1 x 1 x Tk for the keys that are padding. A bias of -infinity
/// masks as well. A query that may attend to no key gets zeros.
Variable attention(const Variable& q, const Variable& k, const Variable& v, int heads,
                   const Variable& bias = {}, const Variable& mask = {});
/// The same without bias and mask, composed of slice, matmul, softmax and concat: the reference that
/// attention() is tested against.
Variable attention_composed(const Variable& q, const Variable& k, const Variable& v, int heads);

// --- heat map and product (heatmap.cpp), Eq. 1 ----------------------------------------------------------
/// f_lm: N x H x W x Cl; the heat map: N x H x W x 1.
Variable heatmap(const Variable& f_lm, HeatmapKind kind);
/// heatmap(f_lm) * f_img in one kernel. f_img: N x H x W x Ci.
Variable heatmap_product(const Variable& f_lm, const Variable& f_img, HeatmapKind kind);

// --- dropout (dropout.cpp) ----------------------------------------------------------------------------
/// Zeroes each element with probability p in [0, 1) and scales the rest by 1 / (1 - p). `key` determines the
/// mask, see Backend::dropout. With DropoutMask::sample whole samples x[n] are zeroed or kept, for example the
/// residual branch of a block (stochastic depth). In a GlobalBatch the mask is this rank's part of the mask of
/// the whole batch.
Variable dropout(const Variable& x, double p, const RandomKey& key, DropoutMask mask = DropoutMask::element);

// --- losses (cross_entropy.cpp, neaa.cpp): scores N x K, labels int64 N; the result is a scalar ---------
/// DataError if a label is outside of 0 .. K-1.
Variable cross_entropy(const Variable& scores, const Tensor& labels, double label_smoothing = 0.0);
/// target: N x K, one distribution per row.
Variable soft_cross_entropy(const Variable& scores, const Variable& target);
/// Entropy of each predicted distribution, N.
Variable entropy(const Variable& scores);
/// Eq. 7 over all classes, or Eq. 8 if `skip` is the neutral class (-1: none). features: N x D. The entropy
/// of `scores` selects the anchors; no gradient flows through the selection.
Variable anchor_loss(const Variable& features, const Tensor& scores, const Tensor& labels,
                     std::int64_t skip = -1);
/// Eq. 9.
Variable neutral_loss(const Variable& features, const Tensor& labels, std::int64_t neutral);
/// Eq. 9 as printed, over all ordered pairs, composed of elementary operations: the reference that
/// neutral_loss is tested against.
Variable neutral_loss_composed(const Variable& features, const Tensor& labels, std::int64_t neutral);
/// Eq. 10: Eq. 8 + Eq. 9.
Variable neaa_loss(const Variable& features, const Tensor& scores, const Tensor& labels,
                   std::int64_t neutral);

}  // namespace fer
