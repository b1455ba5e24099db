// ONNX: the bytes of a small graph against the ONNX library's, and the structure of exported networks, read
// back from the bytes. tests/onnx/check.py checks with ONNX Runtime what the graphs compute.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "fer/models/fernet.h"
#include "fer/models/onnx_export.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    for (const int shift : {4, 0}) text += "0123456789abcdef"[(std::to_integer<unsigned>(b) >> shift) & 15];
  }
  return text;
}

/// z = LayerNormalization(2 x), an example with every kind of field.
OnnxModel small_graph() {
  OnnxModel model;
  model.graph_name = "double";
  model.description = "d";
  model.producer_version = "1";
  model.metadata = {{"k", "v"}};
  model.inputs = {{"x", {"N", 3}}};
  model.initializers = {{"two", Tensor::scalar(2)}, {"shape", Tensor::from<std::int64_t>({3}, {1, -2, 300})}};
  model.nodes = {{"Mul", "y", {"x", "two"}, {"y"}},
                 {"LayerNormalization",
                  "z",
                  {"y", "two"},
                  {"z"},
                  {{"axis", -1}, {"epsilon", 0.5f}, {"pads", std::vector<std::int64_t>{0, 128}}}}};
  model.outputs = {{"z", {"N", 3}}};
  return model;
}

TEST_CASE("onnx: a graph has the bytes that the ONNX library gives it") {
  // onnx 1.23: helper.make_model(...).SerializeToString(deterministic=True) of the same graph.
  const std::string expected =
      "080812036665721a01313201643adc010a130a01780a0374776f1201791a017922034d756c0a5b0a01790a0374776f12"
      "017a1a017a22124c617965724e6f726d616c697a6174696f6e2a140a046178697318ffffffffffffffffff01a001022a"
      "110a07657073696c6f6e150000003fa001012a0e0a04706164734000408001a001071206646f75626c652a0d10014203"
      "74776f4a04000000402a2508031007420573686170654a180100000000000000feffffffffffffff2c01000000000000"
      "5a140a0178120f0a0d080112090a0312014e0a02080362140a017a120f0a0d080112090a0312014e0a02080342040a00"
      "101172060a016b120176";
  CHECK(hex(encode_onnx(small_graph())) == expected);
}

TEST_CASE("onnx: a graph that cannot run is refused by name") {
  OnnxModel unknown = small_graph();
  unknown.nodes[1].inputs[0] = "w";
  CHECK_MESSAGE_OF(encode_onnx(unknown), ConfigError,
                   "[onnx] the node 'z' (LayerNormalization) reads 'w', which nothing before it produces");
  OnnxModel backwards = small_graph();
  std::swap(backwards.nodes[0], backwards.nodes[1]);
  CHECK_MESSAGE_OF(encode_onnx(backwards), ConfigError,
                   "[onnx] the node 'z' (LayerNormalization) reads 'y', which nothing before it produces");
  OnnxModel twice = small_graph();
  twice.nodes[1].outputs[0] = "y";
  CHECK_MESSAGE_OF(encode_onnx(twice), ConfigError, "[onnx] two values are called 'y'");
  OnnxModel no_output = small_graph();
  no_output.outputs[0].name = "scores";
  CHECK_MESSAGE_OF(encode_onnx(no_output), ConfigError, "[onnx] no node produces the output 'scores'");
  OnnxModel wide = small_graph();
  wide.initializers[0].value = Tensor::scalar(2, DType::float64);
  CHECK_MESSAGE_OF(encode_onnx(wide), TypeError,
                   "[onnx] the constant 'two' must be float32 or int64, got float64");
  OnnxModel counted = small_graph();
  counted.inputs[0].dtype = DType::int64;
  CHECK_MESSAGE_OF(encode_onnx(counted), TypeError,
                   "[onnx] the value 'x' must be float32 or uint8, got int64");
}

/// Fields of a protobuf message: numbers as they are, the rest as bytes.
struct Field {
  std::uint64_t number = 0;
  std::string bytes;
};
using Fields = std::multimap<int, Field>;

std::uint64_t read_varint(const std::string& bytes, std::size_t& at) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(at++));
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

Fields parse(const std::string& bytes) {
  Fields fields;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::uint64_t tag = read_varint(bytes, at);
    Field field;
    if ((tag & 7) == 0) {
      field.number = read_varint(bytes, at);
    } else {
      const std::size_t size = (tag & 7) == 5 ? 4 : read_varint(bytes, at);
      REQUIRE(at + size <= bytes.size());
      field.bytes = bytes.substr(at, size);
      at += size;
    }
    fields.emplace(static_cast<int>(tag >> 3), std::move(field));
  }
  return fields;
}

std::string text_of(const Fields& fields, int field) {
  const auto found = fields.find(field);
  return found == fields.end() ? std::string() : found->second.bytes;
}

/// The parts of a written model that the tests check; field numbers are those of onnx.proto.
struct ReadModel {
  struct Constant {
    std::vector<std::uint64_t> dims;
    std::uint64_t type = 0;
    std::string data;
  };
  std::uint64_t ir_version = 0, opset = 0, input_type = 0;
  std::map<std::string, std::string> metadata;
  std::map<std::string, int> operations;                        // how many of each
  std::map<std::string, std::vector<std::string>> node_inputs;  // by the node's name
  std::map<std::string, Constant> constants;

  explicit ReadModel(const OnnxModel& model) {
    const std::vector<std::byte> encoded = encode_onnx(model);
    const Fields file = parse(std::string(reinterpret_cast<const char*>(encoded.data()), encoded.size()));
    ir_version = file.find(1)->second.number;
    opset = parse(text_of(file, 8)).find(2)->second.number;
    for (auto [p, end] = file.equal_range(14); p != end; ++p) {
      const Fields entry = parse(p->second.bytes);
      metadata[text_of(entry, 1)] = text_of(entry, 2);
    }
    const Fields graph = parse(text_of(file, 7));
    const Fields input =
        parse(text_of(parse(text_of(parse(text_of(graph, 11)), 2)), 1));  // ValueInfo, Type, Tensor
    input_type = input.find(1)->second.number;
    for (auto [p, end] = graph.equal_range(1); p != end; ++p) read_node(parse(p->second.bytes));
    for (auto [p, end] = graph.equal_range(5); p != end; ++p) read_constant(parse(p->second.bytes));
  }

  std::vector<float> floats(const std::string& name) const {
    const std::string& data = constants.at(name).data;
    std::vector<float> values(data.size() / 4);
    std::memcpy(values.data(), data.data(), data.size());
    return values;
  }

 private:
  void read_node(const Fields& node) {
    ++operations[text_of(node, 4)];
    std::vector<std::string>& inputs = node_inputs[text_of(node, 3)];
    for (auto [p, end] = node.equal_range(1); p != end; ++p) inputs.push_back(p->second.bytes);
  }
  void read_constant(const Fields& tensor) {
    Constant& constant = constants[text_of(tensor, 8)];
    for (auto [p, end] = tensor.equal_range(1); p != end; ++p) constant.dims.push_back(p->second.number);
    constant.type = tensor.find(2)->second.number;
    constant.data = text_of(tensor, 9);
  }
};

OnnxModel export_preset(const std::string& name) {
  FERNet model(preset(name));
  test::fill_as_reference(model, "");
  return onnx_model(model, {}, {{"classes", "[]"}});
}

TEST_CASE("onnx export: every preset gives a graph whose constants have the bytes of their shapes") {
  for (const std::string& name : preset_names()) {
    if (name.starts_with("paper")) continue;  // the same parts as in the others, only larger
    CAPTURE(name);
    const ReadModel read(export_preset(name));
    CHECK(read.ir_version == 8);
    CHECK(read.opset == 17);
    for (const auto& [tensor, constant] : read.constants) {
      CAPTURE(tensor);
      std::uint64_t count = 1;
      for (const std::uint64_t extent : constant.dims) count *= extent;
      CHECK(constant.data.size() == count * (constant.type == 7 ? 8 : 4));
    }
  }
}

TEST_CASE("onnx export: operations of tiny, and of the model's switches") {
  const ReadModel tiny(export_preset("tiny"));
  // Per block 4 products of the attention's layers, 2 of the attention, 2 of the MLP; and 2 embeddings. The
  // last block computes no keys and values, but has two more products with its one query. That query is the
  // same for every image, so the query and its product with the weights of the keys are constants.
  CHECK(tiny.operations.at("MatMul") == 2 * 8 + 2 - 2);
  CHECK(tiny.operations.at("Softmax") == 2 + 1);
  CHECK(tiny.operations.at("Erf") == 2);
  CHECK(tiny.operations.at("LayerNormalization") == 2);
  CHECK(tiny.operations.at("ReduceMax") == 1);
  CHECK(tiny.node_inputs.contains("image_backbone.body.0.res_layer.0.scaled"));  // in front of padding
  CHECK_FALSE(tiny.node_inputs.contains("image_backbone.body.0.res_layer.4"));   // behind a convolution
  CHECK(tiny.operations.at("MaxPool") == 1);     // the one unit that halves and keeps its channels
  CHECK(tiny.operations.at("Concat") == 2 + 3);  // tokens, and the extents of class tokens

  CHECK(ReadModel(export_preset("tiny_sum")).operations.at("ReduceSum") == 1);
  CHECK(ReadModel(export_preset("tiny_abs_sum")).operations.at("ReduceL1") == 1);
  const ReadModel no_product(export_preset("tiny_no_product"));
  CHECK(no_product.operations.count("ReduceMax") == 0);
  CHECK(no_product.node_inputs.count("attention.heatmap_product") == 0);
  const ReadModel no_cross(export_preset("tiny_no_cross"));
  CHECK(no_cross.operations.at("MatMul") == 2 * 8 + 1);
  CHECK(no_cross.constants.count("attention.lm_class") == 0);

  const ReadModel extras(export_preset("tiny_extras"));
  CHECK(extras.operations.at("LayerNormalization") == 2 * 3 + 1 - 1);  // that of the constant query
  CHECK(extras.operations.at("Sigmoid") == 1);
  CHECK(extras.node_inputs.at("attention.mul")[0] == "attention.heatmap_conv");
  CHECK(extras.constants.at("attention.pos_lm").dims == std::vector<std::uint64_t>{1, 197, 48});
  CHECK(extras.constants.count("attention.blocks.0.k_fusion.bias") == 1);
}

TEST_CASE("onnx export: a batch norm behind a convolution is folded into it") {
  FERNet model(preset("tiny"));
  test::fill_as_reference(model, "");
  std::map<std::string, Tensor> values;
  for (const NamedVariable& p : model.named_parameters()) values.emplace(p.name, p.variable.value());
  for (const NamedBuffer& b : model.named_buffers()) values.emplace(b.name, *b.buffer);
  const ReadModel read(onnx_model(model, {}));

  const std::string conv = "landmark_backbone.conv1.conv", norm = "landmark_backbone.conv1.bn.";
  CHECK(read.constants.at(conv + ".weight").dims == std::vector<std::uint64_t>{8, 3, 3, 3});
  CHECK(read.node_inputs.at("landmark_backbone.conv1.prelu")[0] == conv);
  const auto weight = read.floats(conv + ".weight"), bias = read.floats(conv + ".bias");
  const auto w = values.at(conv + ".weight").to_vector<float>();  // O x kh x kw x I
  const auto of = [&](const char* name, std::size_t c) {
    return static_cast<double>(values.at(norm + name).to_vector<float>()[c]);
  };
  for (std::size_t o = 0; o < 8; ++o) {
    const double factor = of("weight", o) / std::sqrt(of("running_var", o) + 1e-5);
    CHECK(bias[o] == doctest::Approx(of("bias", o) - of("running_mean", o) * factor).epsilon(1e-6));
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t p = 0; p < 9; ++p) {
        CHECK(weight[(o * 3 + i) * 9 + p] == doctest::Approx(factor * w[(o * 9 + p) * 3 + i]).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE(
    "onnx export: metadata say how to feed it; equal models give equal bytes; the model stays as it is") {
  FERNet model(preset("tiny"));
  test::fill_as_reference(model, "");
  model.train();
  const ReadModel read(onnx_model(model, {}, {{"classes", "[\"neutral\"]"}}));
  CHECK(read.metadata.at("classes") == "[\"neutral\"]");
  CHECK(read.metadata.at("input") == to_json(InputSpec{}));
  CHECK(encode_onnx(onnx_model(model, {})) == encode_onnx(onnx_model(model, {})));
  CHECK(model.is_training());
  model.to(DType::float64);
  CHECK(ReadModel(onnx_model(model, {})).constants.at("head.weight").type == 1);
}

TEST_CASE("onnx export: the graph begins with bytes, and makes of them what the network expects") {
  FERNet model(preset("tiny"));
  test::fill_as_reference(model, "");
  InputSpec input;
  input.normalisation = {{0.5, 0.25, 0.75}, {1, 0.5, 0.125}};
  const ReadModel rgb(onnx_model(model, input));
  CHECK(rgb.input_type == 2);  // uint8
  CHECK(rgb.node_inputs.at("image.pixels") == std::vector<std::string>{"image"});
  CHECK(rgb.node_inputs.at("image.unit")[0] == "image.pixels");
  CHECK(rgb.node_inputs.at("image.normalised.planes") == std::vector<std::string>{"image.normalised"});
  CHECK(rgb.node_inputs.at("image_backbone.input_layer.0")[0] == "image.normalised.planes");
  CHECK(rgb.floats("image.mean") == std::vector<float>{0.5f, 0.25f, 0.75f});
  CHECK(rgb.floats("image.std") == std::vector<float>{1, 0.5f, 0.125f});
  CHECK(rgb.operations.count("Floor") == 0);

  input.colour = InputColour::grey;
  const ReadModel grey(onnx_model(model, input));
  CHECK(grey.node_inputs.at("image.unit")[0] == "image.luma");
  CHECK(grey.floats("image.luma.weights") ==
        std::vector<float>{19595 / 65536.0f, 38470 / 65536.0f, 7471 / 65536.0f});
  CHECK(grey.operations.at("Floor") == 1);
  input.size = 56;
  CHECK_MESSAGE_OF(onnx_model(model, input), ConfigError,
                   "[onnx] the input is of 56 pixels a side, the network takes 112");
}

}  // namespace
}  // namespace fer
