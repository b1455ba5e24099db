// Starting the attention blocks in the weights of a vision transformer that timm (PyTorch Image Models)
// trained: Table 2's third row. Names and splits are those of timm's VisionTransformer:
//
//   blocks.i.norm1             -> norm1 and norm_lm (both streams)
//   blocks.i.attn.qkv          -> q_lm, k_fusion, v_fusion: its rows are queries, keys and values, in that
//   order blocks.i.attn.proj, norm2  -> proj, norm blocks.i.mlp.fc1, fc2      -> fc1, fc2 cls_token,
//   pos_embed       -> fusion_class and lm_class, pos_fusion and pos_lm norm                       ->
//   final_norm
//
// The patch embedding and the classifier have no counterpart; the linear embeddings of both maps, the gate
// and the head start fresh.
#pragma once

#include <string>

#include "fer/formats/matching.h"
#include "fer/models/dual_attention.h"

namespace fer {

/// Sets the sizes and switches that the weights call for: dim, depth, mlp_ratio, qkv_bias, pos_embed,
/// pre_norm and final_norm. The number of heads cannot be read from weights; 8 stands for a width of 768
/// without biases (timm's vit_small_patch16_224 of 2020, which the paper uses) and dim / 64 for all others.
/// FormatError, naming `source`, if the tensors are no vision transformer of timm's.
void adopt_vit_sizes(const StateDict& tensors, const std::string& source, DualAttentionConfig& config);

/// Copies what the file has for the attention module; returns the report of what matched, what was left aside
/// and what starts fresh. FormatError or ShapeError, naming `source` and the tensors, unless every tensor of
/// every block is there. Position embeddings of another number of tokens are left aside.
///
/// timm's vit_small of 2020 was trained with scores over sqrt(768), the model's width, where its code and
/// equation 4 have the head's, sqrt(96). Queries of such a file are multiplied by sqrt(96 / 768), which makes
/// the scores those that its weights were trained with.
MatchReport load_vit(DualAttention& attention, const StateDict& tensors, const std::string& source);

}  // namespace fer
