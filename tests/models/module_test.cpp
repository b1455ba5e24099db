// Modules: names, modes, initial values, moving between types.
#include "fer/layers/layers.h"
#include "fer/tensor/random.h"
#include "tests/ops/op_test.h"

namespace fer {
namespace {

using test::numbers;

struct Net : Layer {
  Sequential& body = register_module<Sequential>("body");
  Linear* last;
  Net() {
    body.append<Linear>(4, 8);
    body.append<BatchNorm>(8);
    body.append<PReLU>(8);
    last = &register_module<Linear>("last", 8, 2, false);
  }
  std::string describe() const override { return "Net"; }
  Variable forward(const Variable& x) override { return (*last)(body(x)); }
};

std::vector<std::string> names(const std::vector<NamedVariable>& parameters) {
  std::vector<std::string> all;
  for (const NamedVariable& p : parameters) all.push_back(p.name);
  return all;
}

TEST_CASE("module: parameters and buffers have PyTorch's names, relative to the module") {
  Net net;
  CHECK(names(net.named_parameters()) == std::vector<std::string>{"body.0.weight", "body.0.bias",
                                                                  "body.1.weight", "body.1.bias",
                                                                  "body.2.weight", "last.weight"});
  CHECK(names(net.body.named_parameters())[0] == "0.weight");
  CHECK(net.named_buffers()[0].name == "body.1.running_mean");
  CHECK(net.named_buffers()[1].name == "body.1.running_var");
  CHECK(net.parameter_count() == 4 * 8 + 8 + 8 + 8 + 8 + 16);
}

TEST_CASE("module: a parameter knows its full path, whichever module lists it") {
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

TEST_CASE("module: a network is initialised when it is constructed, and the next one differently") {
  manual_seed(5);
  Net first, second;
  manual_seed(5);
  Net again;
  manual_seed(6);
  Net other;
  const auto weight = [](Net& net) { return numbers(net.last->weight.value()); };
  CHECK(weight(first) == weight(again));
  CHECK(weight(first) != weight(second));
  CHECK(weight(first) != weight(other));
  // Of one name and shape, but not the same values.
  Sequential twins;
  CHECK(numbers(twins.append<Linear>(3, 3).weight.value()) !=
        numbers(twins.append<Linear>(3, 3).weight.value()));
  // What initialise() fills in does not depend on what was there before.
  first.initialise(7);
  other.initialise(7);
  CHECK(weight(first) == weight(other));
  Linear bare = uninitialised<Linear>(4, 3);
  CHECK(numbers(bare.weight.value()) == std::vector<double>(12, 0.0));
  CHECK(numbers(Linear(4, 3).weight.value()) != std::vector<double>(12, 0.0));
  manual_seed(0);
}

TEST_CASE("module: its state has all parameters and buffers, and shares their memory") {
  Net net;
  StateDict state = net.state_dict();
  std::vector<std::string> held;
  for (const auto& [name, tensor] : state) held.push_back(name);
  CHECK(held == std::vector<std::string>{"body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias",
                                         "body.2.weight", "last.weight", "body.1.running_mean",
                                         "body.1.running_var"});
  net.last->weight.mutable_value().fill(3);
  CHECK(numbers(state.at("last.weight")) == std::vector<double>(16, 3.0));
  CHECK(net.parameters().size() == 6);
  CHECK(net.parameters()[5].id() == net.last->weight.id());
}

TEST_CASE("module: a state goes into another module of the same names, whatever type it has") {
  Net net, twin;
  net.body.named_buffers()[0].buffer->fill(2);
  net.to(DType::float64);
  const StateDifference difference = twin.load_state_dict(net.state_dict());
  CHECK(difference.missing.empty());
  CHECK(difference.unexpected.empty());
  CHECK(twin.last->weight.dtype() == DType::float32);
  const StateDict state = twin.state_dict();
  for (const auto& [name, tensor] : net.state_dict()) CHECK(numbers(state.at(name)) == numbers(tensor));
  CHECK_FALSE(state.at("last.weight").shares_memory_with(net.state_dict().at("last.weight")));
}

TEST_CASE("module: a state that does not fit is refused and changes nothing") {
  Net net;
  const std::vector<double> before = numbers(net.body.named_parameters()[0].variable.value());
  StateDict other;
  other.insert("body.0.weight", Tensor::full({8, 4}, 9.0));
  other.insert("surplus", Tensor::zeros({1}));
  CHECK_MESSAGE_OF(
      net.load_state_dict(other), ConfigError,
      "load_state_dict: missing body.0.bias, body.1.weight, body.1.bias, body.2.weight, last.weight, "
      "body.1.running_mean, body.1.running_var; not of this module surplus");
  StateDict larger = other;
  larger.insert("last.weight", Tensor::zeros({2, 9}));
  CHECK_MESSAGE_OF(net.load_state_dict(larger, /*strict=*/false), ShapeError,
                   "load_state_dict: other shapes: last.weight is (2, 8) and would be (2, 9)");
  CHECK(numbers(net.body.named_parameters()[0].variable.value()) == before);
  const StateDifference difference = net.load_state_dict(other, /*strict=*/false);
  CHECK(difference.missing.size() == 7);
  CHECK(difference.unexpected == std::vector<std::string>{"surplus"});
  CHECK(numbers(net.body.named_parameters()[0].variable.value()) == std::vector<double>(32, 9.0));
}

TEST_CASE("module: layers and operations take tensors for constants") {
  Linear layer(2, 2);
  const Tensor x = Tensor::from<float>({1, 2}, {1, 2});
  CHECK(numbers(layer(x).value()) == numbers(layer(Variable(x)).value()));
  CHECK(numbers(mul(x, x).value()) == std::vector<double>{1, 4});
}

TEST_CASE("module: initial values have the variance that their Init promises") {
  Conv2d conv(32, 64, 3);
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
