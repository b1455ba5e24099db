// Most operations call those of autograd/, unrecorded.
#include "graph/operations.h"

#include <unordered_map>

#include "fer/autograd/ops.h"
#include "fer/error.h"
#include "fer/tensor/backend.h"

namespace fer {
namespace {

using Inputs = std::vector<Tensor>;

Variable variable(const Inputs& inputs, std::size_t i) {
  return i < inputs.size() && inputs[i].defined() ? Variable(inputs[i]) : Variable();
}

template <Variable (*f)(const Variable&)>
Tensor unary(const GraphNode&, const Inputs& in, const Shape&, DType) {
  return f(variable(in, 0)).value();
}

template <Variable (*f)(const Variable&, const Variable&)>
Tensor binary(const GraphNode&, const Inputs& in, const Shape&, DType) {
  return f(variable(in, 0), variable(in, 1)).value();
}

Tensor run_function(const GraphNode& node, const Inputs& in, const Shape&, DType) {
  FunctionContext context(node.op, std::vector<bool>(in.size(), false));
  return node.attribute<std::shared_ptr<Function>>("function")->forward(context, in);
}

/// A batch norm in evaluation with mean 0 and variance 1.
Tensor affine(const GraphNode&, const Inputs& in, const Shape&, DType) {
  Tensor y = Tensor::empty_like(in[0]);
  const Tensor zero = Tensor::zeros_like(in[1]);
  Tensor one = Tensor::empty_like(in[1]);
  one.fill(1.0);
  backend_of(y).batch_norm_eval_forward(in[0], in[1], in[2], zero, one, 0.0, y);
  return y;
}

Tensor mark_tokens(const GraphNode&, const Inputs& in, const Shape& shape, DType) {
  const Tensor& map = in[0];
  const std::int64_t images = shape[0], tokens = shape[1], channels = shape[2] - 1;
  Backend& device = backend_of(map);
  const auto filled = [&](const Shape& extents, double value) {
    return Tensor::full(extents, value, map.dtype(), map.device());
  };
  Tensor pixels = filled({images, tokens - 1, channels + 1}, 0.0), marked = filled(shape, 0.0);
  device.paste(map.reshape({images, tokens - 1, channels}), 2, 0, pixels);
  device.paste(pixels, 1, 1, marked);
  Tensor by_image = marked.reshape({images, tokens * (channels + 1)});
  device.paste(filled({images, 1}, 1.0), 1, channels, by_image);
  return marked;
}

const std::unordered_map<std::string_view, RunOperation>& operations() {
  static const std::unordered_map<std::string_view, RunOperation> all{
      {"add", binary<fer::add>},
      {"sub", binary<fer::sub>},
      {"mul", binary<fer::mul>},
      {"div", binary<fer::div>},
      {"matmul", binary<fer::matmul>},
      {"prelu", binary<fer::prelu>},
      {"relu", unary<fer::relu>},
      {"gelu", unary<fer::gelu>},
      {"sigmoid", unary<fer::sigmoid>},
      {"exp", unary<fer::exp>},
      {"log", unary<fer::log>},
      {"sqrt", unary<fer::sqrt>},
      {"abs", unary<fer::abs>},
      {"softmax", unary<fer::softmax>},
      {"log_softmax", unary<fer::log_softmax>},
      {"global_avg_pool2d", unary<fer::global_avg_pool2d>},
      {"scale", [](const GraphNode& node, const Inputs& in, const Shape&,
                   DType) { return scale(variable(in, 0), node.number("alpha")).value(); }},
      {"broadcast_to", [](const GraphNode&, const Inputs& in, const Shape& shape,
                          DType) { return broadcast_to(variable(in, 0), shape).value(); }},
      {"sum_to", [](const GraphNode&, const Inputs& in, const Shape& shape,
                    DType) { return sum_to(variable(in, 0), shape).value(); }},
      {"cast", [](const GraphNode&, const Inputs& in, const Shape&, DType dtype) { return in[0].to(dtype); }},
      {"reshape",
       [](const GraphNode&, const Inputs& in, const Shape& shape, DType) { return in[0].reshape(shape); }},
      {"permute",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return permute(variable(in, 0), node.attribute<std::vector<int>>("order")).value();
       }},
      {"concat",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         std::vector<Variable> parts;
         for (std::size_t i = 0; i < in.size(); ++i) parts.push_back(variable(in, i));
         return concat(parts, node.integer("dim")).value();
       }},
      {"slice",
       [](const GraphNode& node, const Inputs& in, const Shape& shape, DType) {
         const int dim = node.integer("dim");
         return slice(variable(in, 0), dim, node.integer("start"), shape[dim]).value();
       }},
      {"max_pool2d",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return max_pool2d(variable(in, 0), node.integer("kernel"), node.integer("stride"),
                           node.integer("padding"))
             .value();
       }},
      {"conv2d",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return conv2d(variable(in, 0), variable(in, 1), variable(in, 2), conv2d_options(node)).value();
       }},
      {"linear",
       [](const GraphNode&, const Inputs& in, const Shape&, DType) {
         return linear(variable(in, 0), variable(in, 1), variable(in, 2), variable(in, 3)).value();
       }},
      {"linear_gelu",
       [](const GraphNode&, const Inputs& in, const Shape&, DType) {
         return linear_gelu(variable(in, 0), variable(in, 1), variable(in, 2)).value();
       }},
      {"batch_norm_eval",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return batch_norm_eval(variable(in, 0), variable(in, 1), variable(in, 2),
                                node.attribute<Tensor>("running_mean"), node.attribute<Tensor>("running_var"),
                                node.number("eps"))
             .value();
       }},
      {"layer_norm",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return layer_norm(variable(in, 0), variable(in, 1), variable(in, 2), node.number("eps")).value();
       }},
      {"attention",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return attention(variable(in, 0), variable(in, 1), variable(in, 2), node.integer("heads"),
                          variable(in, 3), variable(in, 4))
             .value();
       }},
      {"heatmap",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return heatmap(variable(in, 0), static_cast<HeatmapKind>(node.integer("kind"))).value();
       }},
      {"heatmap_product",
       [](const GraphNode& node, const Inputs& in, const Shape&, DType) {
         return heatmap_product(variable(in, 0), variable(in, 1),
                                static_cast<HeatmapKind>(node.integer("kind")))
             .value();
       }},
      {"affine", affine},
      {"mark_tokens", mark_tokens},
  };
  return all;
}

}  // namespace

Conv2dOptions conv2d_options(const GraphNode& node) {
  return {node.integer("stride"), node.integer("padding"), node.integer("groups")};
}

RunOperation operation_of(const GraphNode& node) {
  if (node.attributes.contains("function")) return run_function;
  const std::string_view name = node.op == "transpose" ? "permute" : std::string_view(node.op);
  const auto found = operations().find(name);
  require<GraphError>(found != operations().end(), "there is no implementation of ", node.described());
  return found->second;
}

}  // namespace fer
