#include "fer/graph/onnx.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <set>
#include <unordered_map>

#include "fer/autograd/ops.h"
#include "fer/error.h"

namespace fer {
namespace {

using Ints = std::vector<std::int64_t>;
using Attributes = std::vector<OnnxAttribute>;

/// pixels: maps are N x H x W x C, as in the graph; planes: N x C x H x W.
enum class Layout { pixels, planes };

Tensor on_cpu(const Tensor& tensor) {
  return tensor.to(Device::cpu).to(DType::float32);
}

class OnnxPrinter {
 public:
  OnnxPrinter(const Graph& graph, const std::vector<std::string>& inputs,
              const std::vector<std::string>& outputs, OnnxModel& model)
      : graph_(graph), model_(model), first_input_(inputs.at(0)), output_names_(outputs) {
    require<GraphError>(inputs.size() == graph.inputs.size() && outputs.size() == graph.outputs.size(),
                        "[onnx] the graph has ", graph.inputs.size(), " inputs and ", graph.outputs.size(),
                        " outputs, not ", inputs.size(), " and ", outputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) names_[graph.inputs[i]].pixels = inputs[i];
    for (const OnnxNode& node : model.nodes) taken_.insert(node.name);
    for (const std::string& name : outputs) taken_.insert(name);
  }

  void run() {
    for (const GraphNode& node : graph_.nodes) print(node);
    for (std::size_t i = 0; i < graph_.outputs.size(); ++i) {
      const std::string produced = pixels(graph_.outputs[i]);
      if (produced != output_names_[i]) add("Identity", output_names_[i], {produced});
    }
  }

 private:
  /// The names of one value in each layout that was needed so far.
  struct Names {
    std::string pixels, planes;
  };

  // Parts of the model. Each function returns the name of the value that it produces.
  std::string add(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                  const Attributes& attributes = {}) {
    model_.nodes.push_back({op, name, inputs, {name}, attributes});
    return name;
  }
  std::string constant(const std::string& wanted, const Tensor& value) {
    const std::string name = unique(wanted);
    model_.initializers.push_back({name, value});
    return name;
  }
  std::string number(const std::string& name, double value) { return constant(name, Tensor::scalar(value)); }
  std::string integers(const std::string& name, const Ints& values) {
    return constant(name, Tensor::from<std::int64_t>({static_cast<std::int64_t>(values.size())}, values));
  }
  std::string unique(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 2; !taken_.insert(name).second; ++i) name = concat(wanted, ".", i);
    return name;
  }

  /// A layer has its module's name, another operation its module's name and its own.
  std::string name_of(const GraphNode& node) {
    static const std::set<std::string_view> layers{"conv2d",      "fused_conv2d", "linear", "fused_linear",
                                                   "linear_gelu", "prelu",        "affine", "layer_norm"};
    for (std::size_t i = 0; i < graph_.outputs.size(); ++i) {
      const bool is_map = graph_.value(node.output).shape.size() == 4;
      if (graph_.outputs[i] == node.output && !is_map && !names_.contains(node.output))
        return output_names_[i];
    }
    if (node.op == "prelu") {  // a PReLU may run as part of the norm in front of it
      const std::string& slope = graph_.value(node.inputs[1]).name;
      if (slope.ends_with(".weight")) return unique(slope.substr(0, slope.rfind('.')));
    }
    if (node.module.empty()) return unique(node.op);
    return unique(layers.contains(node.op) ? node.module : node.module + "." + node.op);
  }
  /// The name of a weight: its path in the module, or for a weight made by a pass, its part in the node.
  std::string constant_name(const GraphNode& node, ValueId id, const std::string& part) const {
    const std::string& name = graph_.value(id).name;
    if (name.find('.') != std::string::npos) return name;  // a path in the model
    const std::string& owner = node.module.empty() ? node.op : node.module;
    return owner + "." + (name.empty() ? part : name);
  }

  // Values.
  std::string pixels(ValueId id) {
    if (graph_.is_constant(id)) return plain_constant(id);
    Names& names = names_.at(id);
    if (names.pixels.empty()) {
      names.pixels =
          add("Transpose", unique(names.planes + ".pixels"), {names.planes}, {{"perm", Ints{0, 2, 3, 1}}});
    }
    return names.pixels;
  }
  std::string planes(ValueId id) {
    Names& names = names_.at(id);
    if (names.planes.empty()) {
      names.planes =
          add("Transpose", unique(names.pixels + ".planes"), {names.pixels}, {{"perm", Ints{0, 3, 1, 2}}});
    }
    return names.planes;
  }
  bool has_planes(ValueId id) const {
    const auto found = names_.find(id);
    return found != names_.end() && !found->second.planes.empty();
  }
  std::string plain_constant(ValueId id) {
    Names& names = names_[id];
    if (names.pixels.empty()) names.pixels = constant(concat("constant.", id), on_cpu(graph_.constant(id)));
    return names.pixels;
  }
  /// A constant that broadcasts against maps or tokens.
  std::string operand_constant(const GraphNode& node, ValueId id, const std::string& part, Layout layout) {
    Tensor value = on_cpu(graph_.constant(id));
    if (layout == Layout::planes) {
      Shape shape{1, 1, 1, 1};
      for (int i = 1; i <= value.rank(); ++i) shape.set(-i, value.dim(-i));
      value = permute(Variable(value.reshape(shape)), {0, 3, 1, 2}).value();
    }
    return constant(constant_name(node, id, part), value);
  }
  std::string operand(const GraphNode& node, std::size_t i, Layout layout) {
    const ValueId id = node.inputs[i];
    if (graph_.is_constant(id)) return operand_constant(node, id, "constant", layout);
    return layout == Layout::planes ? planes(id) : pixels(id);
  }
  /// The layout that the node's first map already has.
  Layout layout_of(const GraphNode& node) const {
    const bool is_map = graph_.value(node.output).shape.size() == 4;
    const bool any =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return has_planes(id); });
    return is_map && any ? Layout::planes : Layout::pixels;
  }
  void give(const GraphNode& node, const std::string& name, Layout layout = Layout::pixels) {
    Names& names = names_[node.output];
    (layout == Layout::planes ? names.planes : names.pixels) = name;
  }
  Ints fixed_shape(const GraphNode& node, const std::vector<Extent>& shape, std::size_t first = 0) const {
    Ints extents;
    for (std::size_t i = first; i < shape.size(); ++i) {
      require<GraphError>(shape[i].per_image == 0, "[onnx] ", node.described(),
                          " has an extent that grows with the number of images, where ONNX needs a number");
      extents.push_back(shape[i].fixed);
    }
    return extents;
  }

  // Operations.
  void print(const GraphNode& node);
  void print_unary(const GraphNode& node, const std::string& op) {
    const Layout layout = layout_of(node);
    give(node, add(op, name_of(node), {operand(node, 0, layout)}), layout);
  }
  void print_binary(const GraphNode& node, const std::string& op) {
    const Layout layout = layout_of(node);
    const std::string a = operand(node, 0, layout), b = operand(node, 1, layout);
    give(node, add(op, name_of(node), {a, b}), layout);
  }
  /// f(W x + b) + residual.
  void print_convolution(const GraphNode& node);
  void print_linear(const GraphNode& node);
  void print_affine(const GraphNode& node);
  void print_prelu(const GraphNode& node);
  void print_layer_norm(const GraphNode& node);
  void print_max_pool(const GraphNode& node);
  void print_global_pool(const GraphNode& node);
  void print_attention(const GraphNode& node);
  void print_heatmap(const GraphNode& node, bool product);
  void print_reshape(const GraphNode& node);
  void print_expand(const GraphNode& node);
  void print_sum(const GraphNode& node);
  void print_slice(const GraphNode& node);
  std::string gelu(const std::string& x, const std::string& name);
  std::string attention_weights(const GraphNode& node, const std::string& name, std::string scores);
  std::string heads_of(const std::string& x, const Ints& shape, const Ints& order);

  const Graph& graph_;
  OnnxModel& model_;
  std::string first_input_, batch_;
  std::vector<std::string> output_names_;
  std::unordered_map<ValueId, Names> names_;
  std::set<std::string> taken_;
};

void OnnxPrinter::print_convolution(const GraphNode& node) {
  const auto input = [&](std::size_t i) { return i < node.inputs.size() ? node.inputs[i] : no_value; };
  require<GraphError>(input(5) == no_value, "[onnx] ", node.described(), " has a border, which ONNX has not");
  const Tensor weight = graph_.constant(node.inputs[1]);
  const std::string x = planes(node.inputs[0]), name = name_of(node);
  std::vector<std::string> inputs{
      x, constant(constant_name(node, input(1), "weight"), to_pytorch_layout(on_cpu(weight)))};
  if (input(2) != no_value)
    inputs.push_back(constant(constant_name(node, input(2), "bias"), on_cpu(graph_.constant(input(2)))));
  const Attributes attributes{{"group", node.attribute<std::int64_t>("groups")},
                              {"kernel_shape", Ints{weight.dim(1), weight.dim(2)}},
                              {"pads", Ints(4, node.attribute<std::int64_t>("padding"))},
                              {"strides", Ints(2, node.attribute<std::int64_t>("stride"))}};
  std::string y = add("Conv", name, inputs, attributes);
  if (input(3) != no_value) {
    const std::string slope = operand_constant(node, input(3), "slope", Layout::planes);
    y = add("PRelu", unique(name + ".prelu"), {y, slope});
  }
  if (input(4) != no_value) y = add("Add", unique(name + ".sum"), {y, planes(input(4))});
  give(node, y, Layout::planes);
}

/// The exact form, x/2 (1 + erf(x / sqrt 2)).
std::string OnnxPrinter::gelu(const std::string& x, const std::string& name) {
  const std::string inverse = number(name + ".inverse_sqrt_2", 1 / std::numbers::sqrt2);
  const std::string erf =
      add("Erf", unique(name + ".erf"), {add("Mul", unique(name + ".scaled"), {x, inverse})});
  const std::string sum = add("Add", unique(name + ".erf_sum"), {erf, number(name + ".one", 1)});
  const std::string half = add("Mul", unique(name + ".half_x"), {x, number(name + ".half", 0.5)});
  return add("Mul", unique(name + ".gelu"), {half, sum});
}

void OnnxPrinter::print_linear(const GraphNode& node) {
  const auto input = [&](std::size_t i) { return i < node.inputs.size() ? node.inputs[i] : no_value; };
  const bool has_bias = input(2) != no_value, has_residual = input(3) != no_value;
  const bool has_gelu = node.op == "linear_gelu" || (node.op == "fused_linear" && node.integer("gelu") != 0);
  const std::string x = pixels(node.inputs[0]), name = name_of(node);
  const auto step = [&](const char* part, bool last) { return last ? name : unique(name + part); };
  const auto bias = [&] {
    return constant(constant_name(node, input(2), "bias"), on_cpu(graph_.constant(input(2))));
  };
  Tensor weight = on_cpu(graph_.constant(node.inputs[1]));
  const std::string weight_name = constant_name(node, input(1), "weight");
  std::string y;
  if (graph_.value(node.inputs[0]).shape.size() == 2 && has_bias) {
    y = add("Gemm", step(".layer", !has_gelu && !has_residual), {x, constant(weight_name, weight), bias()},
            {{"transB", 1}});
  } else {
    weight = permute(Variable(weight), {1, 0}).value();
    y = add("MatMul", step(".product", !has_bias && !has_gelu && !has_residual),
            {x, constant(weight_name, weight)});
    if (has_bias) y = add("Add", step(".layer", !has_gelu && !has_residual), {y, bias()});
  }
  if (has_gelu) y = gelu(y, name);
  if (has_residual) y = add("Add", step("", true), {y, pixels(input(3))});
  give(node, y);
}

void OnnxPrinter::print_affine(const GraphNode& node) {
  const Layout layout = layout_of(node);
  const std::string x = operand(node, 0, layout), name = name_of(node);
  const std::string scaled =
      add("Mul", unique(name + ".scaled"), {x, operand_constant(node, node.inputs[1], "scale", layout)});
  give(node, add("Add", name, {scaled, operand_constant(node, node.inputs[2], "shift", layout)}), layout);
}

void OnnxPrinter::print_prelu(const GraphNode& node) {
  const Layout layout = layout_of(node);
  const std::string x = operand(node, 0, layout);
  give(node, add("PRelu", name_of(node), {x, operand_constant(node, node.inputs[1], "slope", layout)}),
       layout);
}

void OnnxPrinter::print_layer_norm(const GraphNode& node) {
  const std::string x = pixels(node.inputs[0]);
  const std::string weight = operand_constant(node, node.inputs[1], "weight", Layout::pixels);
  const std::string bias = operand_constant(node, node.inputs[2], "bias", Layout::pixels);
  give(node, add("LayerNormalization", name_of(node), {x, weight, bias},
                 {{"axis", -1}, {"epsilon", static_cast<float>(node.number("eps"))}}));
}

void OnnxPrinter::print_max_pool(const GraphNode& node) {
  const std::string x = planes(node.inputs[0]);
  give(node,
       add("MaxPool", name_of(node), {x},
           {{"kernel_shape", Ints(2, node.attribute<std::int64_t>("kernel"))},
            {"pads", Ints(4, node.attribute<std::int64_t>("padding"))},
            {"strides", Ints(2, node.attribute<std::int64_t>("stride"))}}),
       Layout::planes);
}

void OnnxPrinter::print_global_pool(const GraphNode& node) {
  const std::string x = planes(node.inputs[0]), name = name_of(node);
  const std::string mean = add("GlobalAveragePool", unique(name + ".mean"), {x});
  give(node, add("Flatten", name, {mean}, {{"axis", 1}}));
}

/// Reshapes N x T x D to N x T x heads x D / heads and permutes by `order`.
std::string OnnxPrinter::heads_of(const std::string& x, const Ints& shape, const Ints& order) {
  const std::string cut = add("Reshape", unique(x + ".cut"), {x, integers(x + ".head_shape", shape)});
  return add("Transpose", unique(x + ".heads"), {cut}, {{"perm", order}});
}

/// The softmax of the scores with bias and mask. ONNX gives NaN for a row of -infinity, fer zeros: so what is
/// masked gets the least number before the softmax, and zero after it.
std::string OnnxPrinter::attention_weights(const GraphNode& node, const std::string& name,
                                           std::string scores) {
  const auto input = [&](std::size_t i) { return i < node.inputs.size() ? node.inputs[i] : no_value; };
  const bool has_bias = input(3) != no_value, has_mask = input(4) != no_value;
  const auto softmax = [&](const std::string& x) {
    return add("Softmax", unique(name + ".weights"), {x}, {{"axis", -1}});
  };
  if (!has_bias && !has_mask) return softmax(scores);
  const std::string infinity = number(name + ".minus_infinity", -std::numeric_limits<double>::infinity());
  if (has_bias) scores = add("Add", unique(name + ".biased"), {scores, operand(node, 3, Layout::pixels)});
  if (has_mask) {
    constexpr std::int64_t boolean = 9;  // TensorProto.BOOL
    const std::string mask = operand(node, 4, Layout::pixels);
    const std::string attends = add("Cast", unique(name + ".seen"), {mask}, {{"to", boolean}});
    scores = add("Where", unique(name + ".masked"), {attends, scores, infinity});
  }
  const std::string none = add("Equal", unique(name + ".none"), {scores, infinity});
  const std::string lowest = number(name + ".least", -std::numeric_limits<float>::max());
  const std::string weights = softmax(add("Where", unique(name + ".finite"), {none, lowest, scores}));
  return add("Where", unique(name + ".kept"), {none, number(name + ".zero", 0), weights});
}

/// softmax(q k^T / sqrt d + bias) v, per head.
void OnnxPrinter::print_attention(const GraphNode& node) {
  const std::int64_t dim = graph_.value(node.output).channels(),
                     heads = node.attribute<std::int64_t>("heads");
  const Ints cut{0, 0, heads, dim / heads};
  const std::string name = name_of(node);
  const double factor = 1 / std::sqrt(static_cast<double>(dim / heads));
  const std::string q =
      add("Mul", unique(name + ".q_scaled"), {pixels(node.inputs[0]), number(name + ".q_factor", factor)});
  const std::string q_heads = heads_of(q, cut, {0, 2, 1, 3});
  const std::string k_heads = heads_of(pixels(node.inputs[1]), cut, {0, 2, 3, 1});
  const std::string v_heads = heads_of(pixels(node.inputs[2]), cut, {0, 2, 1, 3});
  const std::string scores = add("MatMul", unique(name + ".scores"), {q_heads, k_heads});
  const std::string weights = attention_weights(node, name, scores);
  const std::string values = add("MatMul", unique(name + ".values"), {weights, v_heads});
  const std::string rows = add("Transpose", unique(name + ".rows"), {values}, {{"perm", Ints{0, 2, 1, 3}}});
  give(node, add("Reshape", name, {rows, integers(name + ".row_shape", {0, 0, dim})}));
}

void OnnxPrinter::print_heatmap(const GraphNode& node, bool product) {
  const std::string x = planes(node.inputs[0]), name = name_of(node),
                    heat = product ? unique(name + ".heat") : name;
  switch (static_cast<HeatmapKind>(node.integer("kind"))) {
    case HeatmapKind::max:
      add("ReduceMax", heat, {x}, {{"axes", Ints{1}}, {"keepdims", 1}});
      break;
    case HeatmapKind::sum:
      add("ReduceSum", heat, {x, integers(heat + ".axes", {1})}, {{"keepdims", 1}});
      break;
    case HeatmapKind::abs_sum:
      add("ReduceL1", heat, {x}, {{"axes", Ints{1}}, {"keepdims", 1}});
      break;
  }
  if (product) add("Mul", name, {heat, planes(node.inputs[1])});
  give(node, name, Layout::planes);
}

void OnnxPrinter::print_reshape(const GraphNode& node) {
  Ints extents;
  int growing = 0;
  for (const Extent& extent : graph_.value(node.output).shape) {
    growing += extent.per_image != 0;
    extents.push_back(extent.per_image != 0 ? -1 : extent.fixed);
  }
  require<GraphError>(growing <= 1, "[onnx] ", node.described(), " has ", growing,
                      " extents that grow with the number of images, where ONNX can have one");
  const std::string x = pixels(node.inputs[0]), name = name_of(node);
  give(node, add("Reshape", name, {x, integers(name + ".shape", extents)}));
}

void OnnxPrinter::print_expand(const GraphNode& node) {
  const std::vector<Extent>& shape = graph_.value(node.output).shape;
  const std::string x = operand(node, 0, Layout::pixels), name = name_of(node);
  if (shape.empty() || shape[0] != Extent{1, 0}) {
    give(node, add("Expand", name, {x, integers(name + ".shape", fixed_shape(node, shape))}));
    return;
  }
  if (batch_.empty()) batch_ = add("Shape", unique("batch"), {first_input_}, {{"start", 0}, {"end", 1}});
  const std::string extents =
      add("Concat", unique(name + ".shape"),
          {batch_, integers(name + ".extents", fixed_shape(node, shape, 1))}, {{"axis", 0}});
  give(node, add("Expand", name, {x, extents}));
}

void OnnxPrinter::print_sum(const GraphNode& node) {
  const std::vector<Extent>&from = graph_.value(node.inputs[0]).shape, &to = graph_.value(node.output).shape;
  require<GraphError>(from.size() == to.size(), "[onnx] ", node.described(), " sums whole dimensions away");
  Ints axes;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != to[i]) axes.push_back(static_cast<std::int64_t>(i));
  }
  const std::string x = pixels(node.inputs[0]), name = name_of(node);
  give(node, add("ReduceSum", name, {x, integers(name + ".axes", axes)}, {{"keepdims", 1}}));
}

void OnnxPrinter::print_slice(const GraphNode& node) {
  const std::int64_t dim = node.attribute<std::int64_t>("dim"), start = node.attribute<std::int64_t>("start");
  const Extent extent = graph_.value(node.output).shape.at(static_cast<std::size_t>(dim));
  fixed_shape(node, {extent});
  const std::string x = pixels(node.inputs[0]), name = name_of(node);
  give(node, add("Slice", name,
                 {x, integers(name + ".starts", {start}), integers(name + ".ends", {start + extent.fixed}),
                  integers(name + ".axes", {dim})}));
}

void OnnxPrinter::print(const GraphNode& node) {
  static const std::unordered_map<std::string_view, const char*> unary{
      {"relu", "Relu"}, {"sigmoid", "Sigmoid"}, {"exp", "Exp"},
      {"log", "Log"},   {"sqrt", "Sqrt"},       {"abs", "Abs"}};
  static const std::unordered_map<std::string_view, const char*> binary{
      {"add", "Add"}, {"sub", "Sub"}, {"mul", "Mul"}, {"div", "Div"}};
  static const std::unordered_map<std::string_view, void (OnnxPrinter::*)(const GraphNode&)> others{
      {"conv2d", &OnnxPrinter::print_convolution},  {"fused_conv2d", &OnnxPrinter::print_convolution},
      {"linear", &OnnxPrinter::print_linear},       {"linear_gelu", &OnnxPrinter::print_linear},
      {"fused_linear", &OnnxPrinter::print_linear}, {"affine", &OnnxPrinter::print_affine},
      {"prelu", &OnnxPrinter::print_prelu},         {"layer_norm", &OnnxPrinter::print_layer_norm},
      {"max_pool2d", &OnnxPrinter::print_max_pool}, {"global_avg_pool2d", &OnnxPrinter::print_global_pool},
      {"attention", &OnnxPrinter::print_attention}, {"reshape", &OnnxPrinter::print_reshape},
      {"broadcast_to", &OnnxPrinter::print_expand}, {"sum_to", &OnnxPrinter::print_sum},
      {"slice", &OnnxPrinter::print_slice},
  };
  if (const auto one = unary.find(node.op); one != unary.end()) {
    print_unary(node, one->second);
  } else if (const auto two = binary.find(node.op); two != binary.end()) {
    print_binary(node, two->second);
  } else if (const auto other = others.find(node.op); other != others.end()) {
    (this->*other->second)(node);
  } else if (node.op == "heatmap" || node.op == "heatmap_product") {
    print_heatmap(node, node.op == "heatmap_product");
  } else if (node.op == "cast") {  // the model is float32 throughout
    names_[node.output] = names_.at(node.inputs[0]);
  } else if (node.op == "gelu") {
    give(node, gelu(pixels(node.inputs[0]), node.module.empty() ? "gelu" : node.module));
  } else if (node.op == "scale") {
    const Layout layout = layout_of(node);
    const std::string x = operand(node, 0, layout), name = name_of(node);
    give(node, add("Mul", name, {x, number(name + ".factor", node.number("alpha"))}), layout);
  } else if (node.op == "softmax" || node.op == "log_softmax") {
    give(node, add(node.op == "softmax" ? "Softmax" : "LogSoftmax", name_of(node), {pixels(node.inputs[0])},
                   {{"axis", -1}}));
  } else if (node.op == "matmul") {
    const std::string a = operand(node, 0, Layout::pixels), b = operand(node, 1, Layout::pixels);
    give(node, add("MatMul", name_of(node), {a, b}));
  } else if (node.op == "permute" || node.op == "transpose") {
    const std::vector<int>& order = node.attribute<std::vector<int>>("order");
    give(node, add("Transpose", name_of(node), {pixels(node.inputs[0])},
                   {{"perm", Ints(order.begin(), order.end())}}));
  } else if (node.op == "concat") {
    std::vector<std::string> parts;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) parts.push_back(operand(node, i, Layout::pixels));
    give(node, add("Concat", name_of(node), parts, {{"axis", node.attribute<std::int64_t>("dim")}}));
  } else {
    throw GraphError(fer::concat("[onnx] ONNX has no equivalent of the operation ", node.described()));
  }
}

}  // namespace

void append_onnx(const Graph& graph, const std::vector<std::string>& inputs,
                 const std::vector<std::string>& outputs, OnnxModel& model) {
  OnnxPrinter(graph, inputs, outputs, model).run();
}

}  // namespace fer
