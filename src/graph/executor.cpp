#include "fer/graph/executor.h"

#include <algorithm>
#include <set>

#include "fer/autograd/profiler.h"
#include "fer/autograd/variable.h"
#include "fer/error.h"
#include "fer/tensor/current_op.h"
#include "fer/tensor/precision.h"
#include "graph/operations.h"

namespace fer {

struct Executor::Step {
  RunOperation operation = nullptr;  ///< null for products, which have packed weights
  std::shared_ptr<PackedConv2d> packed{};
  std::vector<ValueId> free{};  ///< values that no later step reads
};

namespace {

Tensor value_at(const std::vector<Tensor>& values, ValueId id) {
  return id == no_value ? Tensor() : values[static_cast<std::size_t>(id)];
}

/// y: memory for the result, or undefined.
Tensor run_convolution(const GraphNode& node, PackedConv2d& packed, const std::vector<Tensor>& values,
                       const Shape& shape, Tensor y) {
  const auto input = [&](std::size_t i) { return value_at(values, node.inputs[i]); };
  const Tensor x = input(0);
  if (!y.defined()) y = Tensor::empty_like(x, shape);
  backend_of(x).conv2d_fused_forward(x, packed, input(5), {input(2), input(3), input(4)}, y);
  return y;
}

/// Runs a linear layer with a packed weight as a 1x1 convolution of its rows.
Tensor run_packed_linear(const GraphNode& node, PackedConv2d& packed, const std::vector<Tensor>& values,
                         const Shape& shape) {
  const auto input = [&](std::size_t i) { return value_at(values, node.inputs[i]); };
  const Tensor x = input(0), residual = input(3);
  const Shape rows{1, 1, x.shape().rows(), shape.channels()};
  Tensor y = Tensor::empty_like(x, rows);
  backend_of(x).conv2d_fused_forward(x.reshape({1, 1, x.shape().rows(), x.shape().channels()}), packed, {},
                                     {input(2), {}, residual.defined() ? residual.reshape(rows) : residual},
                                     y);
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
      step.packed = backend_of(weight).pack_conv2d(weight, conv2d_options(node));
    } else if (node.op == "fused_linear") {
      // A GPU reads a linear layer's weight unpacked, and has kernels with gelu at their end.
      const Tensor weight = graph_.constant(node.inputs[1]);
      const Shape shape{weight.dim(0), 1, 1, weight.dim(1)};
      if (weight.device() == Device::cpu)
        step.packed = backend_of(weight).pack_conv2d(weight.reshape(shape), {});
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
  const bool on_cpu =
      !graph_.nodes.empty() && std::all_of(graph_.values.begin(), graph_.values.end(), [](auto& v) {
        return !v.is_constant() || v.constant.device() == Device::cpu;
      });
  if (on_cpu) find_groups();
}

namespace {

constexpr std::int64_t group_images = 4;

/// Whether image i of the result depends only on image i of the inputs.
bool is_by_image(const Graph& graph, const GraphNode& node) {
  static const std::set<std::string_view> by_image{"fused_conv2d", "affine",     "prelu", "relu",
                                                   "add",          "max_pool2d", "cast"};
  const auto plain = [&](ValueId id) {
    const std::vector<Extent>& shape = graph.value(id).shape;
    return shape.size() == 4 && shape[0] == Extent{1, 0};
  };
  return by_image.contains(node.op) && plain(node.output) &&
         std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId id) { return id == no_value || graph.is_constant(id) || plain(id); });
}

/// Multiply-adds per number read or written, for one image.
double intensity(const Graph& graph, const GraphNode& node) {
  double numbers = static_cast<double>(graph.value(node.output).at(1).numel()), work = 0;
  if (node.op == "fused_conv2d") {
    const Tensor weight = graph.constant(node.inputs[1]);
    work = numbers * static_cast<double>(weight.numel()) / static_cast<double>(weight.dim(0));
  }
  for (const ValueId id : node.inputs) {
    if (id != no_value && !graph.is_constant(id))
      numbers += static_cast<double>(graph.value(id).at(1).numel());
  }
  return work / numbers;
}

}  // namespace

void Executor::find_groups() {
  constexpr double busy = 128;  // above this, a layer is not limited by memory
  const GraphUses uses(graph_);
  const auto belongs = [&](std::size_t i) {
    return is_by_image(graph_, graph_.nodes[i]) && intensity(graph_, graph_.nodes[i]) < busy;
  };
  for (std::size_t begin = 0; begin < steps_.size(); ++begin) {
    std::size_t end = begin;
    while (end < steps_.size() && belongs(end)) ++end;
    if (end < begin + 2) continue;
    Group group{begin, end, {}, {}};
    const auto inside = [&](int index) {
      return index >= static_cast<int>(begin) && index < static_cast<int>(end);
    };
    for (std::size_t i = begin; i < end; ++i) {
      const GraphNode& node = graph_.nodes[i];
      for (const ValueId id : node.inputs) {
        const bool internal = id == no_value || graph_.is_constant(id) || inside(uses.producer_index(id));
        if (!internal && std::find(group.inputs.begin(), group.inputs.end(), id) == group.inputs.end())
          group.inputs.push_back(id);
      }
      const std::vector<int>& readers = uses.readers(node.output);
      const bool leaves = uses.is_output(node.output) || !std::all_of(readers.begin(), readers.end(), inside);
      if (leaves) group.outputs.push_back(node.output);
    }
    groups_.push_back(std::move(group));
    begin = end;
  }
}

void Executor::run_group(const Group& group, std::int64_t images, Values& values) const {
  std::vector<Tensor> inputs, outputs;
  for (const ValueId id : group.inputs) inputs.push_back(values[static_cast<std::size_t>(id)]);
  for (const ValueId id : group.outputs) {
    const GraphValue& value = graph_.value(id);
    outputs.push_back(Tensor::empty(value.at(images), value.dtype, Device::cpu));
  }
  for (std::int64_t first = 0; first < images; first += group_images) {
    const std::int64_t count = std::min(group_images, images - first);
    for (std::size_t i = 0; i < inputs.size(); ++i)
      values[static_cast<std::size_t>(group.inputs[i])] = inputs[i].slice(first, count);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      values[static_cast<std::size_t>(group.outputs[i])] = outputs[i].slice(first, count);
    run(group.begin, group.end, count, values);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& computed = values[static_cast<std::size_t>(group.outputs[i])];
      Tensor target = outputs[i].slice(first, count);
      if (computed.raw() != target.raw()) target.copy_from(computed);
    }
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool last = std::any_of(
        steps_.begin() + static_cast<std::ptrdiff_t>(group.begin),
        steps_.begin() + static_cast<std::ptrdiff_t>(group.end), [&](const Step& step) {
          return std::find(step.free.begin(), step.free.end(), group.inputs[i]) != step.free.end();
        });
    values[static_cast<std::size_t>(group.inputs[i])] = last ? Tensor() : inputs[i];
  }
  for (std::size_t i = 0; i < outputs.size(); ++i)
    values[static_cast<std::size_t>(group.outputs[i])] = outputs[i];
}

std::int64_t Executor::images_of(const std::vector<Tensor>& inputs) const {
  require<GraphError>(inputs.size() == graph_.inputs.size(), "the graph has ", graph_.inputs.size(),
                      " inputs, got ", inputs.size());
  const std::int64_t images = inputs[0].rank() >= 1 ? inputs[0].dim(0) : 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const GraphValue& value = graph_.value(graph_.inputs[i]);
    require<GraphError>(inputs[i].shape() == value.at(images) && inputs[i].dtype() == value.dtype, "input ",
                        i, " of the graph is ", value.at(images), " of ", value.dtype, ", got ",
                        inputs[i].shape(), " of ", inputs[i].dtype());
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
      y = node.op == "fused_conv2d" ? run_convolution(node, *step.packed, values, shape, y)
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
  for (std::size_t i = 0; i < inputs.size(); ++i)
    values[static_cast<std::size_t>(graph_.inputs[i])] = inputs[i];
  std::size_t next = 0;
  for (const Group& group : groups_) {
    if (images <= group_images) break;
    run(next, group.begin, images, values);
    run_group(group, images, values);
    next = group.end;
  }
  run(next, steps_.size(), images, values);
  std::vector<Tensor> outputs;
  for (const ValueId id : graph_.outputs) outputs.push_back(values[static_cast<std::size_t>(id)]);
  return outputs;
}

}  // namespace fer
