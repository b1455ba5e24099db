#include "fer/models/prepared_attention.h"

#include "fer/autograd/ops.h"

namespace fer {
namespace {

Variable in_float64(const Variable& x) {
  return x.defined() ? Variable(x.value().to(DType::float64)) : Variable();
}

Tensor constant(const Shape& shape, double value, const Variable& like) {
  Tensor x = Tensor::empty_like(like.value(), shape);
  x.fill(value);
  return x;
}

}  // namespace

PreparedAttention::Tokens::Tokens(const DualAttention::Stream& stream, const Linear* layer) {
  const Linear& embedding = *stream.embedding;
  const DType dtype = embedding.weight.dtype();
  Variable weight = in_float64(embedding.weight);                              // D x C
  Variable pixel = reshape(in_float64(embedding.bias), {1, embedding.out()});  // of a pixel of zeros
  Variable token = reshape(in_float64(stream.class_token), {1, embedding.out()});
  Variable positions = in_float64(stream.positions);
  if (layer) {
    const Variable w = in_float64(layer->weight), b = in_float64(layer->bias);
    weight = matmul(w, weight);
    pixel = linear(pixel, w, b);
    token = linear(token, w, b);
    if (positions.defined()) positions = linear(positions, w);
  }
  // The class token is what the channel that marks its row is worth, besides the bias of all rows.
  const Variable marked = concat({weight, transpose(sub(token, pixel))}, 1);
  const std::int64_t out = weight.dim(0);
  layer_ = PreparedConv2d({.name = layer ? layer->name() : embedding.name(),
                           .weight = marked.value().to(dtype).reshape({out, 1, 1, marked.dim(1)}),
                           .bias = pixel.value().to(dtype).reshape({out})});
  if (positions.defined()) positions_ = Variable(positions.value().to(dtype));
}

Variable PreparedAttention::Tokens::operator()(const Variable& marked) const {
  const Variable t = layer_.rows(marked);
  return positions_.defined() ? fer::add(t, positions_) : t;
}

PreparedAttention::PreparedAttention(DualAttention& attention)
    : blocks_(attention.block_list_),
      block_(attention.blocks_.front()),
      cross_(attention.config_.cross),
      made_from_(attention) {
  NoGrad no_grad;
  const CrossAttentionBlock::Projections layers = block_->projections();
  t_ = Tokens(attention.fusion_, nullptr);
  q_ = Tokens(cross_ ? attention.landmarks_ : attention.fusion_, layers.q_lm);
  k_ = Tokens(attention.fusion_, layers.k_fusion);
  v_ = Tokens(attention.fusion_, layers.v_fusion);
}

Variable PreparedAttention::mark(const Variable& map) {
  const std::int64_t n = map.dim(0), pixels = map.dim(1) * map.dim(2), channels = map.dim(3);
  const Variable zero(constant({n, pixels, 1}, 0, map)), one(constant({n, 1, 1}, 1, map));
  const Variable no_pixel(constant({n, 1, channels}, 0, map));
  return concat({concat({no_pixel, one}, 2), concat({reshape(map, {n, pixels, channels}), zero}, 2)}, 1);
}

Variable PreparedAttention::first_block(const Variable& fused, const Variable& f_lm) const {
  NoGrad no_grad;
  ModuleScope scope(blocks_->name());
  const Variable image = mark(fused), asking = cross_ ? mark(f_lm) : image;
  return block_->from_projections(t_(image), q_(asking), k_(image), v_(image));
}

}  // namespace fer
