// Writes the steps from a picture to the network's input; the network itself is printed from its graph.
#include "fer/models/onnx_export.h"

#include "fer/error.h"
#include "fer/graph/onnx.h"
#include "fer/graph/passes.h"
#include "fer/graph/trace.h"
#include "fer/tensor/precision.h"
#include "models/evaluation_scope.h"

namespace fer {
namespace {

std::string add_node(OnnxModel& model, const std::string& op, const std::string& name,
                     const std::vector<std::string>& inputs,
                     const std::vector<OnnxAttribute>& attributes = {}) {
  model.nodes.push_back({op, name, inputs, {name}, attributes});
  return name;
}

std::string add_constant(OnnxModel& model, const std::string& name, const Tensor& value) {
  model.initializers.push_back({name, value});
  return name;
}

/// N x S x S x 3 -> N x S x S x 1, the same values as to_grey(). Bytes times weights of 16 fractional bits,
/// and their sums, are exact in float32. A matrix product is not used, because a device may round it.
std::string add_luma(OnnxModel& model, const std::string& pixels) {
  std::vector<float> weights;
  for (const int weight : luma_weights) weights.push_back(static_cast<float>(weight) / 65536);
  const std::string weights_name =
      add_constant(model, "image.luma.weights", Tensor::from<float>({3}, weights));
  const std::string shares = add_node(model, "Mul", "image.luma.shares", {pixels, weights_name});
  const std::string axes = add_constant(model, "image.luma.axes", Tensor::from<std::int64_t>({1}, {3}));
  const std::string sum = add_node(model, "ReduceSum", "image.luma.sum", {shares, axes}, {{"keepdims", 1}});
  const std::string half = add_constant(model, "image.luma.half", Tensor::scalar(0.5));
  return add_node(model, "Floor", "image.luma", {add_node(model, "Add", "image.luma.raised", {sum, half})});
}

/// N x S x S x 3 bytes -> the network's input, of the same shape.
std::string add_input(OnnxModel& model, const std::string& bytes, const InputSpec& input) {
  const auto channels = [&](const std::string& name, const std::array<double, 3>& values) {
    return add_constant(model, name,
                        Tensor::from<double>({3}, {values.begin(), values.end()}).to(DType::float32));
  };
  std::string x = add_node(model, "Cast", "image.pixels", {bytes}, {{"to", 1}});  // TensorProto.FLOAT
  if (input.colour == InputColour::grey) x = add_luma(model, x);
  x = add_node(model, "Div", "image.unit", {x, add_constant(model, "image.white", Tensor::scalar(255))});
  x = add_node(model, "Sub", "image.centred", {x, channels("image.mean", input.normalisation.mean)});
  return add_node(model, "Div", "image.normalised", {x, channels("image.std", input.normalisation.std)});
}

Graph graph_of(Network& model) {
  const EvaluationScope evaluation(model);
  (void)model.named_parameters();  // gives each parameter its path, its name in the graph
  const Tensor like = model.head().weight.value();
  const PrecisionScope exact(like.device(), Precision::float32);
  const std::int64_t side = model.config().image_size;
  Graph graph = trace([&](const std::vector<Variable>& in) { return std::vector{model(in[0]).scores}; },
                      {Tensor::empty({1, side, side, 3}, like.dtype(), like.device())});
  fold_constants(graph);
  fold_norms(graph, Borders::zeros);
  drop_constant_channels(graph);
  return graph;
}

}  // namespace

OnnxModel onnx_model(Network& model, const InputSpec& input, const Metadata& metadata) {
  const std::int64_t side = model.config().image_size, classes = model.config().classes;
  require<ConfigError>(input.size == side, "[onnx] the input is of ", input.size,
                       " pixels a side, the network takes ", side);
  OnnxModel onnx;
  onnx.graph_name = model.kind();
  onnx.description = model.describe();
  onnx.metadata = metadata;
  onnx.metadata[input_key] = to_json(input);
  onnx.inputs = {{"image", {"N", side, side, 3}, DType::uint8}};
  onnx.outputs = {{"scores", {"N", classes}}, {"probabilities", {"N", classes}}};
  append_onnx(graph_of(model), {add_input(onnx, "image", input)}, {"scores"}, onnx);
  add_node(onnx, "Softmax", "probabilities", {"scores"}, {{"axis", 1}});
  return onnx;
}

}  // namespace fer
