#include "fer/graph/executor.h"

#include <algorithm>

#include "fer/autograd/profiler.h"
#include "fer/autograd/variable.h"
#include "fer/error.h"
#include "fer/tensor/current_op.h"
#include "fer/tensor/precision.h"
#include "graph/operations.h"

namespace fer {

struct Executor::Step {
  RunOperation operation = nullptr;     ///< null for products, which have packed weights
  std::shared_ptr<PackedConv2d> packed{};
  std::vector<ValueId> free{};          ///< what nobody reads after this step
};

namespace {

Conv2dOptions options_of(const GraphNode& node) {
  return {node.integer("stride"), node.integer("padding"), node.integer("groups")};
}

Tensor value_at(const std::vector<Tensor>& values, ValueId id) {
  return id == no_value ? Tensor() : values[static_cast<std::size_t>(id)];
}

Tensor run_convolution(const GraphNode& node, PackedConv2d& packed, const std::vector<Tensor>& values,
                       const Shape& shape) {
  const auto input = [&](std::size_t i) { return value_at(values, node.inputs[i]); };
  const Tensor x = input(0);
  Tensor y = Tensor::empty_like(x, shape);
  backend_of(x).conv2d_fused_forward(x, packed, input(5), {input(2), input(3), input(4)}, y);
  return y;
}

/// With a packed weight, as the 1x1 convolution of its rows.
Tensor run_packed_linear(const GraphNode& node, PackedConv2d& packed, const std::vector<Tensor>& values,
                         const Shape& shape) {
  const auto input = [&](std::size_t i) { return value_at(values, node.inputs[i]); };
  const Tensor x = input(0), residual = input(3);
  const Shape rows{1, 1, x.shape().rows(), shape.channels()};
  Tensor y = Tensor::empty_like(x, rows);
  backend_of(x).conv2d_fused_forward(x.reshape({1, 1, x.shape().rows(), x.shape().channels()}), packed, {},
                                     {input(2), {}, residual.defined() ? residual.reshape(rows) : residual}, y);
  y = y.reshape(shape);
  if (node.integer("gelu") == 0) return y;
  Tensor z = Tensor::empty_like(y);
  backend_of(y).activation_forward(UnaryOp::gelu, y, z);
  return z;
}

Tensor run_linear(const GraphNode& node, const std::vector<Tensor>& values, const Shape& shape, DType dtype) {
  const auto input = [&](std::size_t i) { return value_at(values, node.inputs[i]); };
  LinearEpilogue epilogue{.bias = input(2), .gelu = node.integer("gelu") != 0, .residual = input(3)};
  const Tensor x = input(0);
  Tensor y = Tensor::empty(shape, dtype, x.device());
  backend_of(x).linear_fused_forward(product_operand(x), input(1), epilogue, y);
  return y;
}

}  // namespace

Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;

Executor::Executor(Graph graph) : graph_(std::move(graph)) {
  std::vector<std::size_t> last(graph_.values.size(), 0);
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    for (const ValueId id : graph_.nodes[i].inputs) {
      if (id != no_value) last[static_cast<std::size_t>(id)] = i;
    }
  }
  for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
    const GraphNode& node = graph_.nodes[i];
    Step step;
    if (node.op == "fused_conv2d") {
      const Tensor weight = graph_.constant(node.inputs[1]);
      step.packed = backend_of(weight).pack_conv2d(weight, options_of(node));
    } else if (node.op == "fused_linear") {
      // A GPU reads a linear layer's weight as it is, and has kernels that end with gelu.
      const Tensor weight = graph_.constant(node.inputs[1]);
      const Shape shape{weight.dim(0), 1, 1, weight.dim(1)};
      if (weight.device() == Device::cpu) step.packed = backend_of(weight).pack_conv2d(weight.reshape(shape), {});
    } else {
      step.operation = operation_of(node);
    }
    for (const ValueId id : node.inputs) {
      if (id == no_value || graph_.is_constant(id) || last[static_cast<std::size_t>(id)] != i) continue;
      if (std::find(graph_.outputs.begin(), graph_.outputs.end(), id) == graph_.outputs.end()) {
        step.free.push_back(id);
      }
    }
    steps_.push_back(std::move(step));
  }
}

std::int64_t Executor::images_of(const std::vector<Tensor>& inputs) const {
  require<GraphError>(inputs.size() == graph_.inputs.size(), "the graph has ", graph_.inputs.size(),
                      " inputs, got ", inputs.size());
  const std::int64_t images = inputs[0].rank() >= 1 ? inputs[0].dim(0) : 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const GraphValue& value = graph_.value(graph_.inputs[i]);
    require<GraphError>(inputs[i].shape() == value.at(images) && inputs[i].dtype() == value.dtype, "input ", i,
                        " of the graph is ", value.at(images), " of ", value.dtype, ", got ", inputs[i].shape(),
                        " of ", inputs[i].dtype());
  }
  return images;
}

void Executor::run(std::size_t begin, std::size_t end, std::int64_t images, Values& values) const {
  std::vector<Tensor> inputs;
  for (std::size_t i = begin; i < end; ++i) {
    const GraphNode& node = graph_.nodes[i];
    const Step& step = steps_[i];
    const GraphValue& result = graph_.value(node.output);
    const Shape shape = result.at(images);
    Tensor& y = values[static_cast<std::size_t>(node.output)];
    const ModuleScope scope(node.module);
    if (step.operation) {
      inputs.clear();
      for (const ValueId id : node.inputs) inputs.push_back(value_at(values, id));
      y = step.operation(node, inputs, shape, result.dtype);
      inputs.clear();
    } else {
      set_current_op(node.op);
      y = node.op == "fused_conv2d" ? run_convolution(node, *step.packed, values, shape)
          : step.packed             ? run_packed_linear(node, *step.packed, values, shape)
                                    : run_linear(node, values, shape, result.dtype);
      set_current_op("");
      if (Profiler* profiler = Profiler::current())
        profiler->mark(node.op, node.module, Profiler::Phase::forward);
    }
    for (const ValueId id : step.free) values[static_cast<std::size_t>(id)] = Tensor();
  }
}

std::vector<Tensor> Executor::operator()(const std::vector<Tensor>& inputs) const {
  const NoGrad no_grad;
  const std::int64_t images = images_of(inputs);
  Values values(graph_.values.size());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = graph_.values[i].constant;
  for (std::size_t i = 0; i < inputs.size(); ++i) values[static_cast<std::size_t>(graph_.inputs[i])] = inputs[i];
  run(0, steps_.size(), images, values);
  std::vector<Tensor> outputs;
  for (const ValueId id : graph_.outputs) outputs.push_back(values[static_cast<std::size_t>(id)]);
  return outputs;
}

}  // namespace fer
