// Constant channels are removed from the graph, and nothing else changes.
#include <algorithm>

#include "fer/autograd/ops.h"
#include "fer/graph/executor.h"
#include "fer/graph/passes.h"
#include "fer/graph/trace.h"
#include "fer/models/mobile_face_net.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::difference;
using test::fill_as_reference;
using test::filled;

/// The parameters and buffers of a net by name, as numbers to be changed.
class Planter {
 public:
  explicit Planter(MobileFaceNet& net) {
    for (NamedVariable& p : net.named_parameters()) tensors_.emplace(p.name, &p.variable.mutable_value());
    for (const NamedBuffer& b : net.named_buffers()) tensors_.emplace(b.name, b.buffer);
  }

  /// Makes `channel` of a block's convolution constant: its norm's bias.
  void kill(const std::string& block, std::int64_t channel, float bias) {
    Tensor& weight = *tensors_.at(block + ".conv.weight");
    const std::int64_t row = weight.numel() / weight.dim(0);
    std::fill_n(weight.mutable_data<float>() + channel * row, row, 0.f);
    tensors_.at(block + ".bn.running_mean")->mutable_data<float>()[channel] = 0;
    tensors_.at(block + ".bn.bias")->mutable_data<float>()[channel] = bias;
  }
  /// No output of a block's convolution reads `channel`.
  void ignore(const std::string& block, std::int64_t channel) {
    Tensor& weight = *tensors_.at(block + ".conv.weight");
    for (std::int64_t i = channel; i < weight.numel(); i += weight.dim(3))
      weight.mutable_data<float>()[i] = 0;
  }

 private:
  std::map<std::string, Tensor*> tensors_;
};

/// Dead outputs, non-zero constants, unread hidden channels, and residual channels that are zero in all
/// blocks except one.
void plant_dead_channels(MobileFaceNet& net) {
  Planter plant(net);
  plant.kill("conv1", 0, 0);      // zero: the depthwise channel behind it is constant
  plant.kill("conv1", 1, 0.7f);   // a constant in front of padding must stay
  plant.kill("conv2_dw", 2, -1);  // a constant that PReLU scales, read by a 1x1 convolution
  plant.kill("conv2_dw", 3, 0);
  for (const std::string block :
       {"conv_23", "conv_3.model.0", "conv_3.model.1", "conv_34", "conv_4.model.0", "conv_4.model.1"}) {
    const bool residual = block.find("model") != std::string::npos;
    plant.kill(block + ".conv", 0, 0);
    plant.kill(block + ".conv", 3, 0.4f);
    plant.kill(block + ".conv_dw", 1, 0.3f);
    plant.kill(block + ".project", 5, residual ? 0.25f : -0.5f);  // constant throughout
    if (!residual) plant.kill(block + ".project", 6, 0);          // live from the next block on
    plant.ignore(block + ".project", 2);
  }
}

std::int64_t channels_of_convolutions(const Graph& graph) {
  std::int64_t sum = 0;
  for (const GraphNode& node : graph.nodes) {
    if (node.op == "fused_conv2d") sum += graph.value(node.output).channels();
  }
  return sum;
}

OP_TEST("graph: constant and unread channels are removed, with and without padding around them") {
  for (const bool dead : {false, true}) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      MobileFaceNet net({.width = 8, .units = {2, 2, 1}});
      fill_as_reference(net, "prepared/");
      if (dead) plant_dead_channels(net);
      net.eval();
      net.to(dtype);
      net.to(device);
      const Tensor x = filled("image", {2, 40, 40, 3}).to(dtype).to(device);
      const NoGrad no_grad;
      Graph graph =
          trace([&](const std::vector<Variable>& in) { return std::vector{net.features(in[0])}; }, {x});
      fold_norms(graph);
      const std::int64_t before = channels_of_convolutions(graph);
      drop_constant_channels(graph);
      // conv1 loses 0 (1 stays for its border), conv2_dw 0, 2 and 3, which takes conv1's 2 and 3 along. Each
      // block: 0 and 1, 2 hidden (3 stays for its border) twice; conv_3's sum loses channel 5 in 3
      // projections.
      CHECK(before - channels_of_convolutions(graph) == (dead ? 3 + 3 + 6 * (3 + 3) + 3 : 0));
      CHECK(difference(Executor(graph)({x})[0], net.features(Variable(x)).value()) <
            (dtype == DType::float64 ? 1e-13 : 1e-5));
    }
  }
}

TEST_CASE("graph: a network whose channels are all constant still gives its constants") {
  MobileFaceNet net({.width = 4, .units = {1, 1, 1}});
  fill_as_reference(net, "dead/");
  for (NamedVariable& p : net.named_parameters()) {
    if (p.variable.rank() == 4) p.variable.mutable_value().fill(0);
  }
  net.eval();
  const NoGrad no_grad;
  const Tensor x = filled("image", {1, 32, 32, 3}).to(DType::float32);
  Graph graph = trace([&](const std::vector<Variable>& in) { return std::vector{net.features(in[0])}; }, {x});
  optimise(graph);
  CHECK(difference(Executor(graph)({x})[0], net.features(Variable(x)).value()) < 1e-6);
}

}  // namespace
}  // namespace fer
