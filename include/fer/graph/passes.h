// Passes: each changes a graph into one that computes the same with less work. They rely on values that are
// constant in evaluation, so they run after trace() and before an Executor.
//
// Operations that only passes create:
//   affine        y = scale x + shift, per channel
//                 inputs x, scale, shift
//   fused_conv2d  y = prelu(conv2d(x, weight) + bias, slope) + residual; x is padded with `border`
//                 inputs x, weight, bias, slope, residual, border; all but the first two optional
//   fused_linear  y = f(x W^T + bias) + residual, f gelu or the identity
//                 inputs x, weight, bias, residual
//   mark_tokens   the pixels of a map as tokens, after a zero token; an added last channel is 1 in the zero
//                 token and 0 in the pixels: N x h x w x C or N x P x C -> N x (1 + P) x (C + 1)
//                 inputs x
#pragma once

#include "fer/graph/graph.h"

namespace fer {

/// The padding values that convolutions may use: any constant per channel, or only zeros.
enum class Borders { any, zeros };

/// Replaces nodes whose inputs are all constants by their results. What is the same for every image is computed
/// once and repeated.
void fold_constants(Graph& graph);

/// Folds batch norms, and sums and products with a constant per channel, into the adjacent convolution or
/// linear layer. If the norm comes before a convolution with padding, the map is then padded with the value
/// that the norm would map to zero. If the norm's scale is near zero there is no such value, and the norm
/// stays. With Borders::zeros, all norms before a padded convolution stay.
void fold_norms(Graph& graph, Borders borders = Borders::any);

/// Folds activations and sums after a convolution or linear layer into it.
void fuse_epilogues(Graph& graph);

/// Removes channels that have the same value at every pixel of every image, adding their effect to the biases
/// of the next convolutions, and channels that nothing reads. Training can prune a network to have many.
void drop_constant_channels(Graph& graph);

/// Joins two linear layers in sequence: if tokens are a linear layer of fewer channels (an embedding, with a
/// learnt token in front), a linear layer that reads the tokens reads those channels instead.
void join_linears(Graph& graph);

/// Converts the weights of products to the type in which the device multiplies at its present precision.
void cast_weights(Graph& graph);

/// Runs all passes, in an order in which each profits from the ones before.
void optimise(Graph& graph);

}  // namespace fer
