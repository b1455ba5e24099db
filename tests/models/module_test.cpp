// Modules: names, modes, initial values, moving between types.
#include "fer/layers/layers.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::numbers;

struct Net : Layer {
  Sequential& body = add<Sequential>("body");
  Linear* last;
  Net() {
    body.append<Linear>(4, 8);
    body.append<BatchNorm>(8);
    body.append<PReLU>(8);
    last = &add<Linear>("last", 8, 2, false);
  }
  std::string describe() const override { return "Net"; }
  Variable forward(const Variable& x) override { return (*last)(body(x)); }
};

std::vector<std::string> names(const std::vector<NamedVariable>& parameters) {
  std::vector<std::string> all;
  for (const NamedVariable& p : parameters) all.push_back(p.name);
  return all;
}

TEST_CASE("module: parameters and buffers have PyTorch's names, relative to who is asked") {
  Net net;
  CHECK(names(net.named_parameters()) == std::vector<std::string>{"body.0.weight", "body.0.bias",
                                                                  "body.1.weight", "body.1.bias",
                                                                  "body.2.weight", "last.weight"});
  CHECK(names(net.body.named_parameters())[0] == "0.weight");
  CHECK(net.named_buffers()[0].name == "body.1.running_mean");
  CHECK(net.named_buffers()[1].name == "body.1.running_var");
  CHECK(net.parameter_count() == 4 * 8 + 8 + 8 + 8 + 8 + 16);
}

TEST_CASE("module: a parameter knows its full path, whoever asked for it") {
  Net net;
  CHECK(net.body.named_parameters()[0].variable.name() == "body.0.weight");
  CHECK(net.last->path() == "last");
  CHECK(net.body[1].path() == "body.1");
  CHECK(net.path().empty());
}

TEST_CASE("module: the list of modules begins with the root") {
  Net net;
  const auto modules = net.named_modules();
  REQUIRE(modules.size() == 6);
  CHECK(modules[0].first.empty());
  CHECK(modules[0].second == &net);
  CHECK(modules[2].first == "body.0");
  CHECK(modules[2].second->describe() == "Linear(4, 8)");
  CHECK(modules[5].second->describe() == "Linear(8, 2, no bias)");
}

TEST_CASE("module: train and eval reach every child") {
  Net net;
  CHECK(net.body[1].is_training());
  net.eval();
  CHECK_FALSE(net.body[1].is_training());
  net.train();
  CHECK(net.body[1].is_training());
}

TEST_CASE("module: requires_grad and zero_grad") {
  Net net;
  net.initialise(1);
  const Variable x(Tensor::full({3, 4}, 0.5));
  mean(net(x)).backward();
  CHECK(net.last->weight.grad().defined());
  net.zero_grad();
  CHECK_FALSE(net.last->weight.grad().defined());
  CHECK(net.requires_grad());
  net.requires_grad(false);
  CHECK_FALSE(net.requires_grad());
  CHECK_FALSE(net(x).requires_grad());
  net.last->requires_grad(true);
  CHECK(net.requires_grad());
}

TEST_CASE("module: initial values depend on seed and name alone") {
  Net a, b;
  a.initialise(7);
  b.initialise(7);
  for (std::size_t i = 0; i < a.named_parameters().size(); ++i) {
    CHECK(numbers(a.named_parameters()[i].variable.value()) ==
          numbers(b.named_parameters()[i].variable.value()));
  }
  b.initialise(8);
  CHECK(numbers(a.last->weight.value()) != numbers(b.last->weight.value()));
  b.body.named_buffers()[0].buffer->fill(3);
  b.initialise(8);
  CHECK(numbers(*b.body.named_buffers()[0].buffer) == std::vector<double>(8, 0.0));
  CHECK(numbers(*b.body.named_buffers()[1].buffer) == std::vector<double>(8, 1.0));
}

/// Mean of squares and the largest magnitude.
std::pair<double, double> spread(const Tensor& x) {
  double squares = 0, largest = 0;
  for (const double v : numbers(x)) {
    squares += v * v;
    largest = std::max(largest, std::abs(v));
  }
  return {squares / static_cast<double>(x.numel()), largest};
}

TEST_CASE("module: initial values have the variance that their Init promises") {
  Conv2d conv(32, 64, {.kernel = 3});
  conv.initialise(3);
  const auto [conv_variance, conv_largest] = spread(conv.weight.value());
  CHECK(conv_variance == doctest::Approx(2.0 / (9 * 32)).epsilon(0.05));
  CHECK(conv_largest > 3 * std::sqrt(2.0 / (9 * 32)));  // a normal has tails
  Linear linear(200, 100);
  linear.initialise(3);
  const auto [linear_variance, linear_largest] = spread(linear.weight.value());
  CHECK(linear_variance == doctest::Approx(2.0 / 300).epsilon(0.05));
  CHECK(linear_largest < std::sqrt(6.0 / 300));  // a uniform has none
  CHECK(numbers(linear.bias.value()) == std::vector<double>(100, 0.0));
  PReLU prelu(3);
  prelu.initialise(3);
  CHECK(numbers(prelu.weight.value()) == std::vector<double>(3, 0.25));
}

TEST_CASE("module: to another type and back") {
  Net net;
  net.initialise(1);
  const std::vector<double> before = numbers(net.last->weight.value());
  net.to(DType::float64);
  CHECK(net.last->weight.dtype() == DType::float64);
  CHECK(net.named_buffers()[0].buffer->dtype() == DType::float64);
  CHECK(net(Variable(Tensor::zeros({2, 4}, DType::float64))).dtype() == DType::float64);
  net.to(DType::float32);
  CHECK(numbers(net.last->weight.value()) == before);
  CHECK_MESSAGE_OF(net.to(DType::int64), TypeError, "a module computes in float32 or float64, not in int64");
}

TEST_CASE("module: errors name the path of the module") {
  Net net;
  CHECK_MESSAGE_OF(net(Variable(Tensor::zeros({2, 5}))), ShapeError,
                   "[linear] x of shape (2, 5) has 5 columns, weight of shape (8, 4) takes 4 (in module "
                   "body.0)");
}

}  // namespace
}  // namespace fer
