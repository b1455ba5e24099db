// FERNet as an ONNX graph for inference, for ONNX Runtime and whatever else reads the format.
//
//   fer::Classifier c = fer::load_classifier("best.safetensors", fer::Device::cpu);
//   fer::write_onnx("model.onnx", fer::onnx_model(*c.model, c.expects));
#pragma once

#include "fer/formats/input_spec.h"
#include "fer/formats/onnx.h"
#include "fer/models/fernet.h"

namespace fer {

/// The graph of `model`, which expects `input`, in evaluation mode, operator set 17, float32 inside:
///   image N x S x S x 3, uint8, RGB, N free
///   -> scores N x K, probabilities N x K (their softmax).
/// It turns pictures grey, if the network expects that, and normalises them itself, with the bytes and the
/// rounding of Classifier::input(). Batch norms behind a convolution are folded into it; those in front of a
/// padded one remain, as a product and a sum. Channels that have one value everywhere are left out. Values
/// are named after the modules ("attention.blocks.0.q_lm"). The landmark head is no part of it. Of the last
/// block's rows only the class token's is computed, as in FERNet. `metadata` is kept in the file, beside
/// "input" (to_json of `input`). ConfigError if `input` has another size than the network.
OnnxModel onnx_model(FERNet& model, const InputSpec& input, const Metadata& metadata = {});

}  // namespace fer
