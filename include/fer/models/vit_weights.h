// Initialises the attention blocks with the weights of a vision transformer trained by timm (PyTorch Image
// Models): Table 2's third row. The names are those of timm's VisionTransformer:
//
//   blocks.i.norm1             -> norm1 and norm_lm (both streams)
//   blocks.i.attn.qkv          -> q_lm, k_fusion, v_fusion (its rows: queries, then keys, then values)
//   blocks.i.attn.proj, norm2  -> proj, norm
//   blocks.i.mlp.fc1, fc2      -> fc1, fc2
//   cls_token                  -> fusion_class and lm_class
//   pos_embed                  -> pos_fusion and pos_lm
//   norm                       -> final_norm
//
// The patch embedding and the classifier have no counterpart. The linear embeddings of both maps, the gate
// and the head keep their random initialisation.
#pragma once

#include <string>

#include "fer/formats/matching.h"
#include "fer/models/dual_attention.h"

namespace fer {

/// Sets the sizes and switches that the weights imply: dim, depth, mlp_ratio, qkv_bias, pos_embed, pre_norm
/// and final_norm. The weights do not tell the number of heads: it is 8 for a width of 768 without biases
/// (timm's vit_small_patch16_224 of 2020, which the paper uses) and dim / 64 otherwise. FormatError, naming
/// `source`, if the tensors are not a vision transformer of timm.
void adopt_vit_sizes(const StateDict& tensors, const std::string& source, DualAttentionConfig& config);

/// Copies the tensors that the file has for the attention module. Returns a report of what matched, what was
/// ignored and what keeps its random initialisation. FormatError or ShapeError, naming `source` and the
/// tensors, unless every tensor of every block is there. Position embeddings for another number of tokens are
/// ignored.
///
/// timm's vit_small of 2020 was trained with scores divided by sqrt(768), the model's width, while its code
/// and Eq. 4 divide by sqrt(96), the head's width. Therefore the queries of such a file are multiplied by
/// sqrt(96 / 768), which gives the scores that its weights were trained with.
MatchReport load_vit(DualAttention& attention, const StateDict& tensors, const std::string& source);

}  // namespace fer
