// FERNet as an ONNX graph for inference, for ONNX Runtime and whatever else reads the format.
//
//   fer::Classifier c = fer::load_classifier("best.safetensors", fer::Device::cpu);
//   fer::write_onnx("model.onnx", fer::onnx_model(*c.model));
#pragma once

#include "fer/formats/onnx.h"
#include "fer/models/fernet.h"

namespace fer {

/// The graph of `model` in evaluation mode, operator set 17, float32:
///   image N x 3 x S x S, RGB normalised with ImageNet's mean and deviation, N free
///   -> scores N x K, probabilities N x K (their softmax).
/// Batch norms behind a convolution are folded into it; those in front of a padded one remain. Values are
/// named after the modules ("attention.blocks.0.q_lm"). The landmark head is no part of it. Of the last
/// block's rows only the class token's is computed, as in FERNet.
/// `metadata` is kept in the file, beside "normalisation_mean", "normalisation_std", "image_size" and
/// "input".
OnnxModel onnx_model(FERNet& model, const Metadata& metadata = {});

}  // namespace fer
