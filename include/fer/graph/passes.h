// Passes: each changes a graph into one that computes the same with less work. They work on what is constant
// in evaluation, so they come after trace() and before an Executor.
//
// Nodes that passes make, beside those that record() knows:
//   affine        y = scale x + shift, a channel                        inputs x, scale, shift
//   fused_conv2d  y = prelu(conv2d(x, weight) + bias, slope) + residual inputs x, weight, bias, slope,
//   residual,
//                 where x goes on as `border` outside of its edges      border; all but the first two
//                 optional
//   fused_linear  y = f(x W^T + bias) + residual, f gelu or nothing     inputs x, weight, bias, residual
//   mark_tokens   the pixels of a map as tokens behind an empty one, a channel more that is 1 there
//                 N x h x w x C or N x P x C -> N x 1 + P x C + 1       inputs x
#pragma once

#include "fer/graph/graph.h"

namespace fer {

/// What lies around a map as a convolution with padding sees it.
enum class Borders { any, zeros };

/// Computes what depends on constants alone, and what is the same for every image once instead of for each.
void fold_constants(Graph& graph);

/// Batch norms, and sums and products with a constant a channel, become part of the convolution or linear
/// layer behind or in front of them. In front of a convolution with padding the map's border is then no
/// longer zero but what the norm would have made zero; a norm with a scale near zero has no such value and
/// stays, as do all of these where convolutions have no border but zeros.
void fold_norms(Graph& graph, Borders borders = Borders::any);

/// Activations and sums behind a convolution or linear layer become part of it.
void fuse_epilogues(Graph& graph);

/// Removes the channels of maps that have one value at every pixel of every image, which the next
/// convolutions take into their biases, and those that nobody reads. Networks pruned by training have many.
void drop_constant_channels(Graph& graph);

/// A linear layer of tokens that are themselves a linear layer of fewer channels (an embedding, with a learnt
/// token in front) reads these channels instead.
void join_linears(Graph& graph);

/// Weights of products take the type in which the device multiplies, at its present precision.
void cast_weights(Graph& graph);

/// All of them, in an order in which each profits from the ones before.
void optimise(Graph& graph);

}  // namespace fer
