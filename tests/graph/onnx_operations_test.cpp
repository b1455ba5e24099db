// Operations as ONNX nodes, each in a graph of its own, for any number of images. What the nodes compute is
// checked by ONNX Runtime (tests/onnx/check_operations.py), for which FER_ONNX_FOLDER names a folder: a test here
// writes the models there, with inputs and outputs.
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "fer/formats/onnx.h"
#include "fer/formats/safetensors.h"
#include "fer/graph/executor.h"
#include "fer/graph/onnx.h"
#include "fer/graph/passes.h"
#include "fer/graph/trace.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::difference;
using test::filled;

struct OnnxCase {
  std::string name;
  std::vector<Tensor> inputs;
  std::function<Variable(const std::vector<Variable>&)> function;
  std::string nodes;  ///< the kinds of the nodes, in their order
};

Tensor numbers_of(const std::string& name, const Shape& shape, double scale = 1.0, double shift = 0.0) {
  return filled("onnx_operations/" + name, shape, scale, shift).to(DType::float32);
}
/// Zeros and ones; the first `nothing` are zeros.
Tensor mask_of(const Shape& shape, std::int64_t nothing) {
  std::vector<std::uint8_t> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i) values.push_back(i >= nothing && i * 7 % 5 < 3 ? 1 : 0);
  return Tensor::from<std::uint8_t>(shape, values);
}

std::vector<OnnxCase> onnx_cases() {
  using In = const std::vector<Variable>&;
  const Tensor x = numbers_of("x", {2, 3, 5}), positive = numbers_of("positive", {2, 3, 5}, 0.9, 1.0);
  const Tensor map = numbers_of("map", {2, 7, 6, 4});
  const Tensor q = numbers_of("q", {2, 5, 8}, 3), k = numbers_of("k", {2, 7, 8}, 3),
               v = numbers_of("v", {2, 7, 8});
  const Variable row(numbers_of("row", {5}, 0.4, 1.5));
  const Variable bias(numbers_of("bias", {2, 5, 7}, 4)),
      rows(mask_of({5, 7}, 7));  // the first query sees nothing
  Tensor some = numbers_of("some", {5, 7});
  for (const std::int64_t i : {0, 1, 2, 3, 4, 5, 6, 9, 20}) some.mutable_data<float>()[i] = -INFINITY;
  const Variable infinite(some);
  const std::string attention_begin = "Mul Reshape Transpose Reshape Transpose Reshape Transpose MatMul ";
  const std::string attention_end = "MatMul Transpose Reshape";
  return {
      {"exp", {x}, [](In in) { return exp(in[0]); }, "Exp"},
      {"log", {positive}, [](In in) { return log(in[0]); }, "Log"},
      {"sqrt", {positive}, [](In in) { return sqrt(in[0]); }, "Sqrt"},
      {"abs", {x}, [](In in) { return abs(in[0]); }, "Abs"},
      {"div", {x, positive}, [](In in) { return div(in[0], in[1]); }, "Div"},
      {"div_by_constant", {x}, [=](In in) { return div(in[0], row); }, "Div"},
      {"div_of_maps",
       {map},
       [](In in) {
         const Variable pooled = max_pool2d(in[0], 2, 2);
         return div(pooled, abs(pooled));
       },
       "Transpose MaxPool Abs Div Transpose Identity"},
      {"max_pool2d",
       {map},
       [](In in) { return max_pool2d(in[0], 3, 2, 1); },
       "Transpose MaxPool Transpose Identity"},
      {"max_pool2d_negative",
       {numbers_of("negative", {2, 4, 5, 3}, 0.5, -2.0)},
       [](In in) { return max_pool2d(in[0], 3, 1, 1); },
       "Transpose MaxPool Transpose Identity"},
      {"global_avg_pool2d",
       {map},
       [](In in) { return global_avg_pool2d(in[0]); },
       "Transpose GlobalAveragePool Flatten"},
      {"attention",
       {q, k, v},
       [](In in) { return attention(in[0], in[1], in[2], 2); },
       attention_begin + "Softmax " + attention_end},
      {"attention_bias",
       {q, k, v},
       [=](In in) { return attention(in[0], in[1], in[2], 2, bias); },
       attention_begin + "Add Equal Where Softmax Where " + attention_end},
      {"attention_infinite_bias",
       {q, k, v},
       [=](In in) { return attention(in[0], in[1], in[2], 2, infinite); },
       attention_begin + "Add Equal Where Softmax Where " + attention_end},
      {"attention_mask",
       {q, k, v},
       [=](In in) { return attention(in[0], in[1], in[2], 2, {}, rows); },
       attention_begin + "Cast Where Equal Where Softmax Where " + attention_end},
      {"attention_padding",
       {q, k, v, mask_of({2, 1, 1, 7}, 7)},
       [=](In in) { return attention(in[0], in[1], in[2], 2, bias, in[3]); },
       attention_begin + "Add Cast Where Equal Where Softmax Where " + attention_end},
  };
}

std::vector<std::variant<std::int64_t, std::string>> free_extents(const Tensor& tensor) {
  std::vector<std::variant<std::int64_t, std::string>> extents{"N"};
  for (int i = 1; i < tensor.rank(); ++i) extents.emplace_back(tensor.dim(i));
  return extents;
}

OnnxModel model_of(const OnnxCase& c, const Graph& graph, const Tensor& y) {
  OnnxModel model;
  model.graph_name = c.name;
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    inputs.push_back(concat("input", i));
    model.inputs.push_back({inputs.back(), free_extents(c.inputs[i]), c.inputs[i].dtype()});
  }
  model.outputs = {{"y", free_extents(y)}};
  append_onnx(graph, inputs, {"y"}, model);
  return model;
}

TEST_CASE("onnx: operations, by their nodes; the graph that is printed gives the operation's values") {
  const char* folder = std::getenv("FER_ONNX_FOLDER");
  const NoGrad no_grad;
  for (const OnnxCase& c : onnx_cases()) {
    CAPTURE(c.name);
    Graph graph =
        trace([&](const std::vector<Variable>& in) { return std::vector{c.function(in)}; }, c.inputs);
    optimise(graph);
    const Tensor y = Executor(graph)(c.inputs)[0];
    std::vector<Variable> inputs;
    for (const Tensor& input : c.inputs) inputs.emplace_back(input);
    CHECK(difference(y, c.function(inputs).value()) == 0);
    const OnnxModel model = model_of(c, graph, y);
    CHECK_NOTHROW(validate(model));
    std::string nodes;
    for (const OnnxNode& node : model.nodes) nodes += (nodes.empty() ? "" : " ") + node.op_type;
    CHECK(nodes == c.nodes);
    if (!folder) continue;
    StateDict values;
    for (std::size_t i = 0; i < c.inputs.size(); ++i)
      values.insert(concat("input", i), c.inputs[i].to(DType::float32));
    values.insert("y", y);
    write_onnx(std::filesystem::path(folder) / (c.name + ".onnx"), model);
    write_safetensors(std::filesystem::path(folder) / (c.name + ".safetensors"), values);
  }
}

TEST_CASE("onnx: a padded pool states its padding on all sides") {
  const Graph graph =
      trace([](const std::vector<Variable>& in) { return std::vector{max_pool2d(in[0], 3, 2, 1)}; },
            {Tensor::zeros({1, 7, 6, 4})});
  OnnxModel model;
  model.graph_name = "pool";
  model.inputs = {{"x", {"N", 7, 6, 4}}};
  model.outputs = {{"y", {"N", 4, 3, 4}}};
  append_onnx(graph, {"x"}, {"y"}, model);
  REQUIRE(model.nodes.size() == 4);
  using Ints = std::vector<std::int64_t>;
  for (const OnnxAttribute& a : model.nodes[1].attributes) {
    CAPTURE(a.name);
    const Ints expected = a.name == "pads" ? Ints{1, 1, 1, 1} : a.name == "strides" ? Ints{2, 2} : Ints{3, 3};
    CHECK(std::get<Ints>(a.value) == expected);
  }
  CHECK(model.nodes[1].attributes.size() == 3);
}

}  // namespace
}  // namespace fer
