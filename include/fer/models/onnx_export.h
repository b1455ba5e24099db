// Exports a network as an ONNX graph for inference, for ONNX Runtime and other readers of the format.
//
//   fer::Classifier c = fer::load_classifier("best.safetensors", fer::Device::cpu);
//   fer::write_onnx("model.onnx", fer::onnx_model(*c.model, c.expects));
#pragma once

#include "fer/formats/input_spec.h"
#include "fer/formats/onnx.h"
#include "fer/models/network.h"

namespace fer {

/// The graph of `model`, which expects `input`, in evaluation mode, operator set 17, in float32:
///   image N x S x S x 3 (uint8, RGB, any N) -> scores N x K, probabilities N x K (their softmax).
/// The graph converts pictures to grey, if the network expects that, and normalises them, with the same bytes
/// and rounding as Classifier::input(). Batch norms after a convolution are folded into it; those before a
/// padded convolution remain, as a product and a sum. Channels with the same value everywhere are removed.
/// Values are named after the modules ("attention.blocks.0.q_lm"). A landmark head is not included.
/// `metadata` is stored in the file, beside "input" (to_json of `input`). ConfigError if `input` and the
/// network differ in size.
OnnxModel onnx_model(Network& model, const InputSpec& input, const Metadata& metadata = {});

}  // namespace fer
