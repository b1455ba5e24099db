// A traced and optimised graph gives the same values as the layers that it was traced from, for any number of
// images.
#include "fer/graph/compiled.h"

#include "fer/autograd/ops.h"
#include "fer/graph/passes.h"
#include "fer/models/fernet.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::difference;
using test::fill_as_reference;
using test::filled;

Tensor images(std::int64_t n, std::int64_t size, DType dtype, Device device) {
  return filled("image", {n, size, size, 3}).to(dtype).to(device);
}

TensorFunction features_of(MobileFaceNet& net) {
  return [&net](const std::vector<Variable>& in) { return std::vector{net.features(in[0])}; };
}

std::int64_t count(const Graph& graph, std::string_view op) {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const GraphNode& node) { return node.op == op; });
}

TEST_CASE("graph: a traced function knows its operations, its weights and how its extents grow") {
  const Variable weight(filled("w", {5, 3}), true, "w"), slope(filled("s", {5}), true, "s");
  const TensorFunction f = [&](const std::vector<Variable>& in) {
    const Variable y = prelu(linear(in[0], weight), slope);
    return std::vector{reshape(y, {in[0].dim(0) * 2, 5}), scale(y, 2.0)};
  };
  const Graph graph = trace(f, {filled("x", {1, 2, 3})});
  CHECK(graph.text() ==
        "%2 = linear %0 w -  N x 2 x 5 float64\n"
        "%4 = prelu %2 s  N x 2 x 5 float64\n"
        "%5 = reshape %4  2N x 5 float64\n"
        "%6 = scale %4  N x 2 x 5 float64\n");
  const Executor run(graph);
  for (const std::int64_t n : {1, 2, 7}) {
    const Tensor x = filled("x", {n, 2, 3});
    const std::vector<Variable> expected = f({Variable(x)});
    const std::vector<Tensor> got = run({x});
    CHECK(difference(got[0], expected[0].value()) == 0);
    CHECK(difference(got[1], expected[1].value()) == 0);
  }
}

TEST_CASE("graph: functions that cannot be traced are refused") {
  CHECK_THROWS_WITH_AS(trace(
                           [](const std::vector<Variable>& in) {
                             return std::vector{in[0].dim(0) == 2 ? relu(in[0]) : in[0]};
                           },
                           {Tensor::zeros({1, 3})}),
                       "the function does different things for two images and for three: 1 and 0 operations",
                       GraphError);
  Linear layer(3, 2);
  Dropout drop(0.5);
  CHECK_THROWS_WITH_AS(trace([&](const std::vector<Variable>& in) { return std::vector{drop(layer(in[0]))}; },
                             {Tensor::zeros({1, 3})}),
                       "the operation 'dropout' belongs to training; call eval() before tracing", GraphError);
  // The number of images must not hide in a number or in a constant either.
  CHECK_THROWS_WITH_AS(trace(
                           [](const std::vector<Variable>& in) {
                             return std::vector{scale(in[0], 1.0 / static_cast<double>(in[0].dim(0)))};
                           },
                           {Tensor::zeros({1, 3})}),
                       "the function does different things for two images and for three: scale and scale",
                       GraphError);
  CHECK_THROWS_WITH_AS(trace(
                           [](const std::vector<Variable>& in) {
                             const auto images = static_cast<double>(in[0].dim(0));
                             return std::vector{mul(in[0], Variable(Tensor::full({3}, images)))};
                           },
                           {Tensor::zeros({1, 3})}),
                       "the function makes a constant that depends on the number of images", GraphError);
  const Variable known(Tensor::full({3}, 2.0));
  CHECK_NOTHROW(trace(
      [&](const std::vector<Variable>& in) {
        return std::vector{mul(in[0], known), mul(in[0], Variable(Tensor::full({3}, 2.0)))};
      },
      {Tensor::zeros({1, 3})}));
}

OP_TEST("graph: a landmark net without its norms") {
  for (const DType dtype : {DType::float64, DType::float32}) {
    MobileFaceNet net({.width = 8, .units = {2, 2, 1}});
    fill_as_reference(net, "graph/");
    net.eval();
    net.to(dtype);
    net.to(device);
    Compiled compiled(features_of(net));
    NoGrad no_grad;
    for (const std::int64_t n : {2, 1, 5}) {
      const Tensor x = images(n, 40, dtype, device);
      CHECK(difference(compiled({x})[0], net.features(Variable(x)).value()) <
            (dtype == DType::float64 ? 1e-13 : 1e-5));
    }
    CHECK(count(*compiled.graph(), "batch_norm_eval") == 0);
    CHECK(count(*compiled.graph(), "prelu") == 0);
    CHECK(count(*compiled.graph(), "fused_conv2d") ==
          static_cast<std::int64_t>(compiled.graph()->nodes.size()));
  }
}

OP_TEST("graph: an image net, with every kind of unit, and where a norm's scale is zero") {
  const IRBackboneConfig config{.stem = 8, .widths = {8, 16, 24}, .units = {2, 1, 2}, .strides = {2, 2, 2}};
  for (const bool zero : {false, true}) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      IRBackbone net(config);
      fill_as_reference(net, "graph_image/");
      for (NamedVariable& p : net.named_parameters()) {
        if (zero && p.name == "body.1.res_layer.0.weight")
          p.variable.mutable_value().mutable_data<float>()[3] = 0;
      }
      net.eval();
      net.to(dtype);
      net.to(device);
      const Tensor x = images(2, 24, dtype, device);
      NoGrad no_grad;
      Compiled compiled([&](const std::vector<Variable>& in) { return std::vector{net(in[0])}; });
      CHECK(difference(compiled({x})[0], net(Variable(x)).value()) <
            (dtype == DType::float64 ? 1e-12 : 3e-5));
      CHECK(count(*compiled.graph(), "affine") == (zero ? 1 : 0));
      CHECK(count(*compiled.graph(), "add") == 0);
    }
  }
}

OP_TEST("graph: the whole network with each of its switches") {
  const auto check = [&](const FERNetConfig& config, const char* what) {
    CAPTURE(what);
    FERNet model(config);
    fill_as_reference(model, "graph_model/");
    model.eval();
    model.to(DType::float64);
    model.to(device);
    Compiled compiled([&](const std::vector<Variable>& in) {
      const NetworkOutput out = model(in[0]);
      return std::vector{out.scores, out.token};
    });
    NoGrad no_grad;
    for (const std::int64_t n : {1, 3}) {
      const Tensor x = images(n, 32, DType::float64, device);
      const NetworkOutput expected = model(Variable(x));
      const std::vector<Tensor> got = compiled({x});
      CHECK(difference(got[0], expected.scores.value()) < 1e-13);
      CHECK(difference(got[1], expected.token.value()) < 1e-13);
    }
  };
  FERNetConfig tiny = preset("tiny", 3);
  tiny.image_size = 32;
  check(tiny, "tiny");
  for (const Heatmap kind : {Heatmap::sum, Heatmap::abs_sum, Heatmap::conv}) {
    FERNetConfig config = tiny;
    config.attention.heatmap = kind;
    check(config, std::string(name_of(kind)).c_str());
  }
  const auto with = [&](const char* what, auto change) {
    FERNetConfig config = tiny;
    change(config);
    check(config, what);
  };
  with("no product", [](FERNetConfig& c) { c.attention.product = false; });
  with("no cross", [](FERNetConfig& c) { c.attention.cross = false; });
  with("three blocks", [](FERNetConfig& c) { c.attention.depth = 3; });
  with("one block", [](FERNetConfig& c) { c.attention.depth = 1; });
  with("unit input", [](FERNetConfig& c) { c.landmark_unit_input = true; });
  with("extras", [](FERNetConfig& c) {
    c.attention.pos_embed = c.attention.qkv_bias = c.attention.final_norm = c.attention.se_gate = true;
  });
  with("pre-norm", [](FERNetConfig& c) { c.attention.pre_norm = true; });
}

TEST_CASE("graph: a compiled function follows its weights") {
  Linear layer(3, 2);
  layer.initialise(1);
  layer.eval();
  Compiled compiled([&](const std::vector<Variable>& in) { return std::vector{layer(in[0])}; });
  const Tensor x = filled("x", {2, 3}).to(DType::float32);
  NoGrad no_grad;
  const Graph* first = nullptr;
  CHECK(difference(compiled({x})[0], layer(Variable(x)).value()) < 1e-7);
  first = compiled.graph();
  REQUIRE(first != nullptr);
  CHECK(first->is_current());
  layer.weight.mutable_value().fill(0.5);
  CHECK_FALSE(first->is_current());
  CHECK(difference(compiled({x})[0], layer(Variable(x)).value()) < 1e-7);
}

TEST_CASE("graph: a network frees its packed weights when it trains again") {
  FERNetConfig config = preset("tiny", 3);
  config.image_size = 32;
  FERNet model(config);
  const Tensor x = images(1, 32, DType::float32, Device::cpu);
  const auto live_after = [&](bool training) {
    model.train(training);
    if (!training) model.infer(x);
    return backend(Device::cpu).memory_stats().live;
  };
  live_after(false);
  const std::size_t before = live_after(true);
  CHECK(live_after(false) > before);
  CHECK(live_after(true) == before);
}

TEST_CASE("graph: a network's frozen landmark net runs as a graph that follows it") {
  FERNetConfig config = preset("tiny", 3);
  config.image_size = 32;
  FERNet model(config);
  fill_as_reference(model, "follow/");
  const Variable x(images(1, 32, DType::float32, Device::cpu));
  CHECK(model.landmark_features(x).requires_grad());
  CHECK(model.landmark_graph() == nullptr);
  model.freeze_landmarks();
  const Tensor first = model.landmark_features(x).value();
  const Graph* graph = model.landmark_graph();
  REQUIRE(graph != nullptr);
  model.landmark_features(x);
  CHECK(model.landmark_graph() == graph);  // made once
  fill_as_reference(model, "other/");
  CHECK_FALSE(graph->is_current());
  const Tensor second = model.landmark_features(x).value();
  CHECK(difference(second, first) > 1e-3);
  CHECK(difference(second, model.landmark_backbone().features(x).value()) < 1e-5);
  model.landmark_backbone().conv1().bn().running_mean.fill(0.5);
  const Tensor third = model.landmark_features(x).value();
  CHECK(difference(third, second) > 1e-3);
  model.to(DType::float64);
  const Tensor wide = model.landmark_features(Variable(x.value().to(DType::float64))).value();
  CHECK(wide.dtype() == DType::float64);
  CHECK(difference(third, wide) < 1e-5);
}

OP_TEST("graph: direct, captured and replayed calls agree, also when the number of images changes") {
  FERNet model(preset("tiny"));
  model.initialise(1);
  model.to(device);
  model.eval();
  const TensorFunction scores = [&](const std::vector<Variable>& in) {
    return std::vector{model(in[0]).scores};
  };
  Compiled automatic(scores), never(scores, Replay::never);
  const std::int64_t side = model.config().image_size;
  int call = 0;
  std::vector<Tensor> kept;
  for (const std::int64_t n : {1, 1, 1, 2, 2, 1}) {
    CAPTURE(call);
    const Tensor x = filled("image" + std::to_string(call), {n, side, side, 3}).to(DType::float32).to(device);
    kept.push_back(automatic({x})[0]);
    CHECK(kept.back().to_vector<float>() == never({x})[0].to_vector<float>());
    const bool replays = device != Device::cpu && (call == 1 || call == 2 || call == 4);
    CHECK((automatic.captured_operations() > 0) == replays);
    CHECK(never.captured_operations() == 0);
    ++call;
  }
  CHECK(difference(kept[0], kept[1]) > 0);  // results are the caller's: no later call has changed them
  CHECK(difference(kept[1], kept[2]) > 0);
}

TEST_CASE("graph: one image through the paper's network takes fewer than 190 launches in bf16") {
  std::string reason;
  if (!is_available(Device::simt, &reason)) {
    MESSAGE("skipped: device simt: ", reason);
    return;
  }
  FERNet model(preset("paper"));  // initialised: channels of zeros would be left out
  model.to(Device::simt);
  model.eval();
  const PrecisionScope bf16(Device::simt, Precision::bf16);
  const Tensor x = Tensor::empty({1, 112, 112, 3}, DType::float32, Device::simt);
  Graph graph = trace([&](const std::vector<Variable>& in) { return std::vector{model(in[0]).scores}; }, {x});
  optimise(graph);
  const Executor run(std::move(graph));
  std::vector<Tensor> results;  // captured, but not computed, which would take minutes
  const auto captured = capture_graph(Device::simt, [&] { results = run({x}); });
  MESSAGE(captured->operations(), " launches");
  CHECK(captured->operations() < 190);
}

}  // namespace
}  // namespace fer
