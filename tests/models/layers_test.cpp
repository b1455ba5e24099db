// Layers: values worked out by hand, modes, masks, counting, recomputation. Gradients are in
// gradients_test.cpp.
#include "fer/layers/layers.h"
#include "fer/autograd/ops.h"
#include "fer/graph/multiply_adds.h"
#include "fer/graph/trace.h"
#include "tests/models/reference_fill.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::check_values;
using test::difference;
using test::filled;
using test::numbers;

Variable constant(const Shape& shape, const std::vector<float>& values) {
  return Variable(Tensor::from<float>(shape, values));
}

OP_TEST("layers: a linear layer packs its weight in evaluation, and follows its changes") {
  for (const bool bias : {false, true}) {
    Linear layer(37, 45, bias);
    layer.initialise(3);
    layer.to(device);
    layer.eval();
    const Variable x(filled("linear x", {2, 19, 37}).to(DType::float32).to(device));
    const auto plain = [&] { return linear(x, layer.weight, layer.bias).value(); };
    CHECK(layer(x).requires_grad());  // gradients are enabled: nothing is packed
    NoGrad no_grad;
    CHECK(difference(layer(x).value(), plain()) < 1e-5);
    layer.weight.mutable_value().fill(0.25);
    if (bias) layer.bias.mutable_value().fill(2);
    CHECK(difference(layer(x).value(), plain()) < 1e-5);
    layer.to(DType::float64);
    const Variable wide(x.value().to(DType::float64));
    CHECK(difference(layer(wide).value(), linear(wide, layer.weight, layer.bias).value()) < 1e-12);
    CHECK_THROWS_AS(layer(x), TypeError);  // as ever
  }
}

TEST_CASE("layers: linear") {
  Linear layer(2, 3);
  layer.weight.mutable_value().copy_from(Tensor::from<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
  layer.bias.mutable_value().copy_from(Tensor::from<float>({3}, {10, 20, 30}));
  check_values(layer(constant({1, 2}, {1, -1})).value(), {1, 3}, {9, 19, 29});
  CHECK(layer(Variable(Tensor::zeros({4, 5, 2}))).shape() == Shape{4, 5, 3});
  CHECK_MESSAGE_OF(Linear(0, 3), ConfigError, "Linear(0, 3): both widths start at 1");
}

TEST_CASE("layers: conv2d") {
  Conv2d layer(1, 1, 3, {.stride = 2, .padding = 1}, /*bias=*/true);
  layer.weight.mutable_value().fill(1);
  layer.bias.mutable_value().fill(0.5);
  check_values(layer(constant({1, 3, 3, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9})).value(), {1, 2, 2, 1},
               {12.5, 16.5, 24.5, 28.5});
  CHECK(layer.describe() == "Conv2d(1, 1, kernel 3, stride 2, depthwise, bias)");
  CHECK(Conv2d(4, 8, 1, {.groups = 2}).describe() == "Conv2d(4, 8, kernel 1, groups 2)");
  CHECK_MESSAGE_OF(Conv2d(4, 6, 1, {.groups = 4}), ConfigError,
                   "Conv2d(4, 6): 4 groups do not divide both channel counts");
}

TEST_CASE("layers: batch norm keeps running statistics in training and uses them in evaluation") {
  BatchNorm layer(1);
  const Variable x = constant({4, 1}, {1, 2, 3, 6});  // mean 3, variance 3.5, unbiased 14 / 3
  const double scale = 1 / std::sqrt(3.5 + 1e-5);
  check_values(layer(x).value(), {4, 1}, {-2 * scale, -1 * scale, 0, 3 * scale}, 1e-6);
  check_values(layer.running_mean, {1}, {0.3}, 1e-6);
  check_values(layer.running_var, {1}, {0.9 + 0.1 * 14 / 3}, 1e-6);
  layer.eval();
  const double running = 1 / std::sqrt(0.9 + 1.4 / 3 + 1e-5);
  check_values(layer(x).value(), {4, 1}, {0.7 * running, 1.7 * running, 2.7 * running, 5.7 * running}, 1e-6);
  check_values(layer.running_mean, {1}, {0.3}, 1e-6);
}

TEST_CASE("layers: pooling with kernel 1 takes every second pixel, and with stride 1 hands x through") {
  const Variable x = constant({1, 3, 3, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  MaxPool2d pool(1, 2), same(1, 1);
  check_values(pool(x).value(), {1, 2, 2, 1}, {1, 3, 7, 9});
  CHECK(same(x).id() == x.id());
}

/// Two dropouts under different names.
struct Pair : Module {
  Dropout& a = register_module<Dropout>("a", 0.5);
  Dropout& b = register_module<Dropout>("b", 0.5);
};

TEST_CASE("layers: dropout masks follow seed, step and path") {
  Pair pair, twin;
  const Variable x(Tensor::full({40, 25}, 1.0));
  std::vector<double> first;
  {
    RandomScope scope(1, 5);
    first = numbers(pair.a(x).value());
    CHECK(numbers(pair.a(x).value()) == first);
    CHECK(numbers(twin.a(x).value()) == first);
    CHECK(numbers(pair.b(x).value()) != first);
  }
  RandomScope next(1, 6);
  CHECK(numbers(pair.a(x).value()) != first);
  double kept = 0;
  for (const double v : first) {
    CHECK((v == 0.0 || v == 2.0));
    kept += v != 0;
  }
  CHECK(kept / 1000 == doctest::Approx(0.5).epsilon(0.1));
  pair.eval();
  CHECK(pair.a(x).id() == x.id());
  CHECK_MESSAGE_OF(Dropout(1.0), ConfigError, "Dropout(1): the probability is outside of [0, 1)");
}

TEST_CASE("layers: stochastic depth drops the branch of whole samples, in training only") {
  Dropout drop(0.5, DropoutMask::sample);
  const Variable x(Tensor::full({60, 2, 3}, 1.0));
  RandomScope scope(1, 5);
  const std::vector<double> y = numbers(drop(x).value());
  std::size_t kept = 0;
  for (std::size_t n = 0; n < 60; ++n) {
    for (std::size_t i = 0; i < 6; ++i) CHECK(y[6 * n + i] == y[6 * n]);
    CHECK((y[6 * n] == 0.0 || y[6 * n] == 2.0));
    kept += y[6 * n] != 0.0;
  }
  CHECK((kept > 15 && kept < 45));
  CHECK(drop.describe() == "Dropout(0.5, by sample)");
  CHECK(Dropout(0.5).describe() == "Dropout(0.5)");
  drop.eval();
  CHECK(drop(x).id() == x.id());
}

TEST_CASE("layers: max pooling with padding") {
  MaxPool2d pool(3, 2, 1);
  CHECK(pool(Variable(Tensor::zeros({2, 112, 112, 5}))).shape() == Shape{2, 56, 56, 5});
  CHECK(pool.describe() == "MaxPool2d(kernel 3, stride 2, padding 1)");
  CHECK(MaxPool2d(1, 2).describe() == "MaxPool2d(kernel 1, stride 2)");
  const Variable x(Tensor::full({1, 2, 2, 1}, -3.0));
  CHECK(numbers(pool(x).value()) == std::vector<double>{-3});
  CHECK_MESSAGE_OF(MaxPool2d(3, 2, 2), ConfigError,
                   "MaxPool2d(3, 2, 2): the padding is outside of 0 .. 1, half of the kernel");
  CHECK_MESSAGE_OF(MaxPool2d(0, 2), ConfigError, "MaxPool2d(0, 2): both start at 1");
}

TEST_CASE("layers: multiply-adds are counted where they are spent") {
  struct Net : Layer {
    Conv2d& conv = register_module<Conv2d>("conv", 3, 4, 3, Conv2dOptions{.padding = 1});
    Conv2d& depthwise = register_module<Conv2d>("depthwise", 4, 4, 3, Conv2dOptions{.groups = 4});
    Linear& head = register_module<Linear>("head", 4, 2);
    Variable forward(const Variable& x) override { return head(global_avg_pool2d(depthwise(conv(x)))); }
  } net;
  const Graph graph = trace([&](const std::vector<Variable>& in) { return std::vector{net(in[0])}; },
                            {Tensor::zeros({1, 8, 8, 3})});
  const MultiplyAdds counter = multiply_adds(graph, 2);
  CHECK(counter.under("conv") == 2 * 64 * 4 * 27);
  CHECK(counter.under("depthwise") == 2 * 36 * 4 * 9);
  CHECK(counter.under("head") == 2 * 8);
  CHECK(counter.under("con") == 0);
  CHECK(counter.total() == 2 * (64 * 4 * 27 + 36 * 4 * 9 + 8));
}

/// Batch norm and dropout: what must behave in a second run.
struct Stage : Layer {
  Conv2d& conv = register_module<Conv2d>("conv", 3, 4, 3, Conv2dOptions{.padding = 1});
  BatchNorm& norm = register_module<BatchNorm>("norm", 4);
  Dropout& drop = register_module<Dropout>("drop", 0.3);
  Variable forward(const Variable& x) override { return drop(relu(norm(conv(x)))); }
};

TEST_CASE("layers: a checkpointed stage gives the same values, gradients and statistics") {
  Stage plain, recomputed;
  plain.initialise(2);
  recomputed.initialise(2);
  std::vector<double> pixels(2 * 6 * 6 * 3);
  Random random({4, 4, 4});
  for (double& p : pixels) p = random.normal();
  const Tensor image = Tensor::from<double>({2, 6, 6, 3}, pixels).to(DType::float32);
  Variable x(image, true), x2(image.clone(), true);
  const CheckpointedFunction f = [&](const std::vector<Variable>& in) { return recomputed(in[0]); };

  Variable y, y2;
  {
    RandomScope scope(9, 1);
    y = plain(x);
    y2 = checkpoint(f, {x2});
  }
  CHECK(numbers(y.value()) == numbers(y2.value()));
  CHECK(y2.node()->name == "checkpoint");
  RandomScope later(9, 2);  // the second run draws from the first one's scope all the same
  const Tensor dy = y.value().clone();
  y.backward(dy);
  y2.backward(dy);
  CHECK(numbers(x.grad()) == numbers(x2.grad()));
  for (std::size_t i = 0; i < plain.named_parameters().size(); ++i) {
    CHECK(numbers(plain.named_parameters()[i].variable.grad()) ==
          numbers(recomputed.named_parameters()[i].variable.grad()));
  }
  CHECK(numbers(plain.norm.running_mean) == numbers(recomputed.norm.running_mean));
  CHECK(numbers(plain.norm.running_var) == numbers(recomputed.norm.running_var));
  CHECK_FALSE(is_recomputing());
}

TEST_CASE("layers: a checkpoint is recorded for its parameters even if no input requires a gradient") {
  Stage stage;
  stage.initialise(2);
  const Variable image(Tensor::full({1, 4, 4, 3}, 0.3));
  const CheckpointedFunction f = [&](const std::vector<Variable>& in) { return stage(in[0]); };
  const Variable y = checkpoint(f, {image});
  CHECK(y.requires_grad());
  y.backward(Tensor::full(y.shape(), 1.0));
  CHECK(stage.conv.weight.grad().defined());
  NoGrad no_grad;
  CHECK_FALSE(checkpoint(f, {image}).requires_grad());
}

}  // namespace
}  // namespace fer
